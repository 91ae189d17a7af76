/** An upstream: a virtual host name, and how requests to it spread over targets. */
import type { EntityCheck, JsonValue } from '../schema/field.ts';
import { defineEntity, defineField, type EntityOf } from '../schema/infer.ts';
import {
  cookieName,
  headerName,
  hostWithOptionalPort,
  path,
  tags,
  timestampSeconds,
  uuid,
} from '../schema/typedefs.ts';
import { parseHost } from '../schema/host.ts';
import { healthchecks } from './upstream-healthchecks.ts';

const HASH_INPUTS = [
  'none',
  'consumer',
  'ip',
  'header',
  'cookie',
  'path',
  'query_arg',
  'uri_capture',
] as const;

const hashInput = defineField({ type: 'string', default: 'none', one_of: HASH_INPUTS });
const parameter = defineField({ type: 'string', len_min: 1 });

export const upstream = defineEntity({
  name: 'upstreams',
  endpoint_key: 'name',
  workspaceable: true,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    name: {
      type: 'string',
      required: true,
      unique: true,
      custom_validator: nameError,
      description: 'A host name; services whose host it is use the upstream.',
    },
    updated_at: timestampSeconds,
    algorithm: {
      type: 'string',
      default: 'round-robin',
      one_of: ['consistent-hashing', 'least-connections', 'round-robin', 'latency'],
    },
    hash_on: hashInput,
    hash_fallback: hashInput,
    hash_on_header: headerName,
    hash_fallback_header: headerName,
    hash_on_cookie: cookieName,
    hash_on_cookie_path: { ...path, default: '/' },
    hash_on_query_arg: parameter,
    hash_fallback_query_arg: parameter,
    hash_on_uri_capture: parameter,
    hash_fallback_uri_capture: parameter,
    slots: { type: 'integer', default: 10_000, between: [10, 65_536] },
    healthchecks,
    tags,
    host_header: {
      ...hostWithOptionalPort,
      description: 'Host header of requests to the targets.',
    },
    client_certificate: { type: 'foreign', reference: 'certificates' },
    use_srv_name: { type: 'boolean', default: false },
  },
  entity_checks: [
    needs('hash_on', 'header', 'hash_on_header'),
    needs('hash_fallback', 'header', 'hash_fallback_header'),
    needs('hash_on', 'cookie', 'hash_on_cookie'),
    needs('hash_fallback', 'cookie', 'hash_on_cookie'),
    fallsBackTo('none', ['none']),
    fallsBackTo('cookie', ['none']),
    fallsBackTo('consumer', ['none', 'ip', 'header', 'cookie', 'path', 'query_arg', 'uri_capture']),
    fallsBackTo('ip', ['none', 'consumer', 'header', 'cookie', 'path', 'query_arg', 'uri_capture']),
    fallsBackTo('path', ['none', 'consumer', 'header', 'cookie', 'query_arg', 'ip', 'uri_capture']),
    { distinct: ['hash_on_header', 'hash_fallback_header'] },
    needs('hash_on', 'query_arg', 'hash_on_query_arg'),
    needs('hash_fallback', 'query_arg', 'hash_fallback_query_arg'),
    { distinct: ['hash_on_query_arg', 'hash_fallback_query_arg'] },
    needs('hash_on', 'uri_capture', 'hash_on_uri_capture'),
    needs('hash_fallback', 'uri_capture', 'hash_fallback_uri_capture'),
    { distinct: ['hash_on_uri_capture', 'hash_fallback_uri_capture'] },
  ],
  // In this order: the algorithm may reset `hash_on`, which then sets the algorithm.
  shorthand_fields: {
    algorithm: { type: 'string', translate: translateAlgorithm },
    hash_on: { type: 'string', translate: translateHashOn },
  },
});

export type Upstream = EntityOf<typeof upstream>;

function needs(field: string, input: string, companion: string): EntityCheck {
  return {
    conditional: {
      if_field: field,
      if_match: { match: `^${input}$` },
      then_field: companion,
      then_match: { required: true },
    },
  };
}

function fallsBackTo(input: string, fallbacks: readonly string[]): EntityCheck {
  return {
    conditional: {
      if_field: 'hash_on',
      if_match: { match: `^${input}$` },
      then_field: 'hash_fallback',
      then_match: { one_of: fallbacks },
    },
  };
}

function translateAlgorithm(algorithm: string | null): Readonly<Record<string, JsonValue>> {
  const hashes = algorithm === 'least-connections' || algorithm === 'latency';
  return hashes ? { algorithm, hash_on: null } : { algorithm };
}

function translateHashOn(hashOn: string | null): Readonly<Record<string, JsonValue>> {
  if (hashOn === null) return { hash_on: 'none' };
  const algorithm = hashOn === 'none' ? 'round-robin' : 'consistent-hashing';
  return { hash_on: hashOn, algorithm };
}

function nameError(name: string): string | null {
  const parsed = parseHost(name);
  if (!parsed.ok) return `Invalid name ('${name}'); must be a valid hostname`;
  if (parsed.host.kind !== 'name') return `Invalid name ('${name}'); no ip addresses allowed`;
  return parsed.host.port === null ? null : `Invalid name ('${name}'); no port allowed`;
}
