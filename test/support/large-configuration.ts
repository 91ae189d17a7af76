/**
 * A configuration of 100,000 entities as a large installation has it: 10,000 routes with services,
 * consumers with a key each, some plugins. One definition for all that measure it.
 */
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { TestCluster } from './dp-folder.ts';
import { DEFAULT_WS } from './builders.ts';

export interface LargeShape {
  readonly routes: number;
  readonly services: number;
  readonly plugins: number;
  /** Each with one key. */
  readonly consumers: number;
}

/** 100,000 records with the workspace's own. */
export const LARGE: LargeShape = {
  routes: 10_000,
  services: 5_000,
  plugins: 999,
  consumers: 42_000,
};

const KINDS = ['workspaces', 'services', 'routes', 'plugins', 'consumers', 'keyauth_credentials'];

export function largeId(kind: string, n: number): string {
  const head = String(KINDS.indexOf(kind) + 1).padStart(8, '0');
  return `${head}-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** The key of consumer `n`. */
export function largeKey(n: number): string {
  return `key-of-consumer-${n}`;
}

/** @param port  where all services lead to, on 127.0.0.1 */
export function* largeRecords(
  cluster: Pick<TestCluster, 'credential'>,
  port: number,
  shape: LargeShape = LARGE,
): Generator<ConfigRecord> {
  yield record('workspaces', DEFAULT_WS, { id: DEFAULT_WS, name: 'default' });
  for (let n = 0; n < shape.services; n++) yield serviceRecord(n, port);
  for (let n = 0; n < shape.routes; n++) yield routeRecord(n, shape);
  for (let n = 0; n < shape.plugins; n++) yield pluginRecord(n);
  for (let n = 0; n < shape.consumers; n++) {
    const id = largeId('consumers', n);
    yield record('consumers', id, consumerOf(n));
    const credential = { ...CREATED, id: largeId('keyauth_credentials', n), consumer: { id } };
    yield cluster.credential(DEFAULT_WS, { ...credential, ttl: null }, largeKey(n));
  }
}

/** A consumer in its `turn`th form: a change that leaves the rest as it is. */
export function consumerRecord(n: number, turn: number): ConfigRecord {
  return record('consumers', largeId('consumers', n), { ...consumerOf(n), custom_id: `t${turn}` });
}

/** A route that is the same but for its path's end. */
export function routeRecord(n: number, shape: LargeShape = LARGE, suffix = ''): ConfigRecord {
  const id = largeId('routes', n);
  return record('routes', id, {
    ...CREATED,
    id,
    name: `route-${n}`,
    protocols: ['http', 'https'],
    hosts: [`host-${n % 1000}.example.test`],
    paths: [`/service-${n}/v1${suffix}`],
    methods: null,
    headers: null,
    snis: null,
    sources: null,
    destinations: null,
    regex_priority: 0,
    strip_path: true,
    preserve_host: false,
    path_handling: 'v0',
    request_buffering: true,
    response_buffering: true,
    https_redirect_status_code: 426,
    service: { id: largeId('services', n % shape.services) },
  });
}

function serviceRecord(n: number, port: number): ConfigRecord {
  const id = largeId('services', n);
  return record('services', id, {
    ...CREATED,
    id,
    name: `service-${n}`,
    protocol: 'http',
    host: '127.0.0.1',
    port,
    path: null,
    enabled: true,
    retries: 5,
    connect_timeout: 60_000,
    read_timeout: 60_000,
    write_timeout: 60_000,
    client_certificate: null,
    tls_verify: null,
    tls_verify_depth: null,
    ca_certificates: null,
  });
}

/** Every route with an even number asks for a key, up to the shape's number of plugins. */
function pluginRecord(n: number): ConfigRecord {
  const id = largeId('plugins', n);
  const config = {
    key_names: ['apikey'],
    key_in_header: true,
    key_in_query: true,
    key_in_body: false,
    hide_credentials: false,
    anonymous: null,
    run_on_preflight: true,
    realm: null,
  };
  return record('plugins', id, {
    ...CREATED,
    id,
    name: 'key-auth',
    instance_name: null,
    enabled: true,
    protocols: ['http', 'https'],
    config,
    route: { id: largeId('routes', n * 2) },
    service: null,
    consumer: null,
  });
}

const CREATED = { created_at: 1_700_000_000, updated_at: 1_700_000_000, tags: null };

function consumerOf(n: number): JsonObject {
  const id = largeId('consumers', n);
  return { ...CREATED, id, username: `consumer-${n}`, custom_id: null };
}

function record(kind: string, id: string, entity: JsonObject): ConfigRecord {
  const key = { kind, ws: DEFAULT_WS, id, placement: placementOf(kind, id, entity) };
  return makeRecord(key, { ...entity, id }, nodeCrypto);
}

/** As the definitions say: scoped plugins lie with what they are scoped to. */
function placementOf(kind: string, id: string, entity: JsonObject): string {
  const route = kind === 'plugins' ? entity['route'] : null;
  if (typeof route !== 'object' || route === null || !('id' in route)) return id;
  return String(route.id);
}
