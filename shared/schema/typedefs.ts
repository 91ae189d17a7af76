/** Fields that several definitions share, named as in Kong's `typedefs.lua`. */
import { defineField } from './infer.ts';
import { TTL_MAX } from './ttl.ts';
import {
  cookieNameError,
  headerNameError,
  hostError,
  hostWithOptionalPortError,
  ipOrCidrError,
  pathError,
  routeHostError,
  routePathError,
  sniError,
  tagError,
  urlError,
  utf8NameError,
  wildcardHostError,
} from './validators.ts';

export const PROTOCOLS = [
  'grpc',
  'grpcs',
  'http',
  'https',
  'tcp',
  'tls',
  'tls_passthrough',
  'udp',
] as const;

export const HTTP_PROTOCOLS = ['grpc', 'grpcs', 'http', 'https'] as const;

export const uuid = defineField({ type: 'string', uuid: true, auto: true });

/** Whole seconds since the epoch. */
export const timestampSeconds = defineField({ type: 'integer', timestamp: true, auto: true });

/** Seconds since the epoch with milliseconds as the fraction. */
export const timestampFraction = defineField({ type: 'number', timestamp: true, auto: true });

export const utf8Name = defineField({
  type: 'string',
  unique: true,
  custom_validator: utf8NameError,
});

export const tagName = defineField({
  type: 'string',
  required: true,
  custom_validator: tagError,
});

export const tags = defineField({ type: 'set', elements: tagName });

export const protocol = defineField({ type: 'string', one_of: PROTOCOLS });

export const protocolsHttp = defineField({
  type: 'set',
  required: true,
  default: HTTP_PROTOCOLS,
  elements: { type: 'string', one_of: HTTP_PROTOCOLS },
});

/** Any protocol, those of HTTP unless told otherwise. */
export const protocols = defineField({
  type: 'set',
  required: true,
  default: HTTP_PROTOCOLS,
  elements: { type: 'string', one_of: PROTOCOLS },
});

export const host = defineField({ type: 'string', custom_validator: hostError });

export const hostWithOptionalPort = defineField({
  type: 'string',
  custom_validator: hostWithOptionalPortError,
});

export const wildcardHost = defineField({ type: 'string', custom_validator: wildcardHostError });

export const sni = defineField({ type: 'string', custom_validator: sniError });

export const port = defineField({ type: 'integer', between: [0, 65_535] });

/** Milliseconds. */
export const timeout = defineField({ type: 'integer', between: [0, 2_147_483_646] });

/** Regexes in one list: each takes up to some 30 ms to compile. */
export const REGEXES_MAX = 250;

/** For a list in which every member is one. */
export const ALL_REGEXES = { starts_with: '', max: REGEXES_MAX } as const;

const NO_EMPTY_SEGMENTS = { pattern: '//', err: 'must not have empty segments' } as const;

export const path = defineField({
  type: 'string',
  starts_with: '/',
  match_none: [NO_EMPTY_SEGMENTS],
  custom_validator: pathError,
});

/** An absolute URL. */
export const url = defineField({ type: 'string', custom_validator: urlError });

export const httpMethod = defineField({ type: 'string', match: '^%u+$' });

/** Seconds. */
export const ttl = defineField({ type: 'number', between: [0, TTL_MAX] });

/** Lua code by the name of the log field that it computes. Kept, and never run. */
export const luaCode = defineField({
  type: 'map',
  keys: { type: 'string', len_min: 1 },
  values: { type: 'string', len_min: 1 },
});

export const noConsumer = defineField({ type: 'foreign', reference: 'consumers', eq: null });
export const noService = defineField({ type: 'foreign', reference: 'services', eq: null });
export const noRoute = defineField({ type: 'foreign', reference: 'routes', eq: null });

export const headerName = defineField({ type: 'string', custom_validator: headerNameError });

export const cookieName = defineField({ type: 'string', custom_validator: cookieNameError });

/** Header names with the values each may have. */
export const headers = defineField({
  type: 'map',
  keys: headerName,
  values: { type: 'array', elements: { type: 'string' } },
});

/** Where a connection comes from or goes to. */
export const addresses = defineField({
  type: 'set',
  elements: {
    type: 'record',
    fields: { ip: { type: 'string', custom_validator: ipOrCidrError }, port },
    entity_checks: [{ at_least_one_of: ['ip', 'port'] }],
  },
});

export const methods = defineField({
  type: 'set',
  elements: { type: 'string', match: '^%u+$' },
});

export const hosts = defineField({
  type: 'array',
  elements: {
    type: 'string',
    match_all: [
      {
        pattern: '^[^*]*%*?[^*]*$',
        err: 'invalid wildcard: must have at most one wildcard',
      },
    ],
    match_any: {
      patterns: ['^%*%.', '%.%*$', '^[^*]*$'],
      err: 'invalid wildcard: must be placed at leftmost or rightmost label',
    },
    custom_validator: routeHostError,
  },
});

export const routerPaths = defineField({
  type: 'array',
  costly: { starts_with: '~', max: REGEXES_MAX },
  elements: {
    type: 'string',
    match_any: {
      patterns: ['^/', '^~/'],
      err: 'should start with: / (fixed path) or ~/ (regex path)',
    },
    match_none: [NO_EMPTY_SEGMENTS],
    custom_validator: routePathError,
  },
});
