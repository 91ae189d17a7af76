/** A route: which requests go to a service. */
import { compileHeaderRegex } from '../regex/regex.ts';
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import {
  addresses,
  headerName,
  headers,
  hosts,
  methods,
  protocol,
  REGEXES_MAX,
  routerPaths,
  tags,
  timestampSeconds,
  utf8Name,
  uuid,
  wildcardHost,
} from '../schema/typedefs.ts';
import { expressionError, mixtureError } from './expression.ts';
import { grpcRoute, httpRoute, streamRoute } from './route-protocols.ts';

export const route = defineEntity({
  name: 'routes',
  endpoint_key: 'name',
  workspaceable: true,
  subschema_key: 'protocols',
  subschemas: {
    http: httpRoute,
    https: httpRoute,
    tcp: streamRoute,
    tls: streamRoute,
    udp: streamRoute,
    tls_passthrough: streamRoute,
    grpc: grpcRoute,
    grpcs: grpcRoute,
  },
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    name: utf8Name,
    protocols: {
      type: 'set',
      len_min: 1,
      required: true,
      elements: protocol,
      mutually_exclusive_subsets: [
        ['http', 'https'],
        ['tcp', 'tls', 'udp'],
        ['tls_passthrough'],
        ['grpc', 'grpcs'],
      ],
      default: ['http', 'https'],
      description: 'Protocols that the route takes.',
    },
    https_redirect_status_code: {
      type: 'integer',
      one_of: [426, 301, 302, 307, 308],
      default: 426,
      required: true,
      description: 'Status of the answer when only the protocol does not match.',
    },
    strip_path: {
      type: 'boolean',
      required: true,
      default: true,
      description: 'Whether the matched part of the path is left out upstream.',
    },
    preserve_host: {
      type: 'boolean',
      required: true,
      default: false,
      description: 'Whether the Host header goes upstream as received.',
    },
    request_buffering: { type: 'boolean', required: true, default: true },
    response_buffering: { type: 'boolean', required: true, default: true },
    tags,
    service: {
      type: 'foreign',
      reference: 'services',
      description: 'Where requests go.',
    },
    snis: { type: 'set', elements: wildcardHost },
    sources: addresses,
    destinations: addresses,
    methods,
    hosts,
    paths: routerPaths,
    headers: {
      ...headers,
      keys: {
        ...headerName,
        match_none: [
          {
            pattern: '^[Hh][Oo][Ss][Tt]$',
            err: "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
          },
        ],
      },
    },
    regex_priority: {
      type: 'integer',
      default: 0,
      description: 'Among routes that match by a regex, the greatest wins.',
    },
    path_handling: { type: 'string', default: 'v0', one_of: ['v0', 'v1'] },
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'protocols',
        if_match: {
          elements: { type: 'string', not_one_of: ['grpcs', 'https', 'tls', 'tls_passthrough'] },
        },
        then_field: 'snis',
        then_match: { len_eq: 0 },
        then_err:
          "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
      },
    },
    // Kong warns here that v1 is deprecated; there is nothing to refuse.
    { custom_entity_check: { field_sources: ['path_handling'], fn: () => null } },
    {
      custom_entity_check: {
        field_sources: [
          'id',
          'protocols',
          'snis',
          'sources',
          'destinations',
          'methods',
          'hosts',
          'paths',
          'headers',
          'expression',
          'regex_priority',
          'priority',
        ],
        run_with_missing_fields: true,
        fn: matchingError,
      },
    },
  ],
});

export type Route = EntityOf<typeof route>;

function matchingError(entity: RouteHeaders & Readonly<Record<string, unknown>>): string | null {
  return mixtureError(entity) ?? expressionError(entity) ?? headerRegexError(entity);
}

interface RouteHeaders {
  readonly headers: Readonly<Record<string, readonly string[]>> | null;
}

/** Values `~*regex` of `headers` must compile; regexes of `paths` are checked with their field. */
function headerRegexError(entity: RouteHeaders): string | null {
  const values = Object.values(entity.headers ?? {}).flat();
  const regexes = values.filter((value) => value.startsWith('~*'));
  if (regexes.length > REGEXES_MAX) return `at most ${REGEXES_MAX} regexes in 'headers'`;
  for (const value of regexes) {
    const compiled = compileHeaderRegex(value.slice(2));
    if (!compiled.ok) return `Router Expression failed validation: ${compiled.reason}`;
  }
  return null;
}
