/** Services: where routes lead to, without what else that depends on. */
import { must } from '../base/assert.ts';
import type { Sliced } from '../base/slices.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { Service } from '../entities/service.ts';
import type { BuildEnv } from './build-env.ts';
import type { Certificates } from './certificates.ts';
import type { Changes } from './changes.ts';
import type { QuarantineEdit } from './quarantine.ts';
import {
  findTlsParts,
  isSameTls,
  makeServiceTls,
  NO_EDGE_CLIENT_CERTIFICATE,
  type TlsParts,
  type UpstreamTlsDefaults,
} from './service-tls.ts';
import { ScopedMap } from './scoped-map.ts';
import { scopedKey, type ServiceTable, type UpstreamTable } from './tables.ts';

/** Kept from tables to tables. */
export type ServicesPart = ScopedMap<ServiceSource>;

export const NO_SERVICES: ServicesPart = ScopedMap.empty();

export function* applyServices(
  before: ServicesPart,
  changes: Changes,
  env: BuildEnv,
  quarantine: QuarantineEdit,
): Sliced<ServicesPart> {
  const services = before.edit();
  for (const record of changes.removed('services')) {
    yield;
    services.delete(record.ws, record.id);
    quarantine.set(record, null);
  }
  for (const record of changes.added('services')) {
    yield;
    const source = new ServiceSource(record, env);
    services.set(record.ws, record.id, source);
    quarantine.set(record, source.fault ?? edgeNote(record, env));
  }
  return services.done();
}

/** What is spoken to a service of a protocol. */
const SPOKEN: ReadonlyMap<
  string,
  Pick<ServiceTable, 'scheme' | 'httpVersion' | 'isStream'>
> = new Map([
  ['http', { scheme: 'http', httpVersion: '1.1', isStream: false }],
  ['https', { scheme: 'https', httpVersion: '1.1', isStream: false }],
  ['grpc', { scheme: 'http', httpVersion: '2', isStream: false }],
  ['grpcs', { scheme: 'https', httpVersion: '2', isStream: false }],
  ['tcp', { scheme: 'http', httpVersion: '1.1', isStream: true }],
  ['tls', { scheme: 'https', httpVersion: '1.1', isStream: true }],
  ['tls_passthrough', { scheme: 'http', httpVersion: '1.1', isStream: true }],
  ['udp', { scheme: 'http', httpVersion: '1.1', isStream: true }],
]);

/** A Worker's `fetch` chooses the version of HTTP itself, and nothing but requests reaches it. */
const EDGE_PROTOCOLS: ReadonlySet<string> = new Set(['http', 'https']);

/** A service; its upstream is looked up when a route is bound, as it changes by itself. */
export class ServiceSource {
  readonly isEnabled: boolean;
  /** Set: it cannot be built, and its routes are closed. */
  readonly fault: string | null;
  /** Null with a fault. */
  readonly takes: 'requests' | 'connections' | null;
  /** `scopedKey(ws, host)`: the upstream that its host may stand for. */
  readonly upstreamKey: string;
  readonly #ws: string;
  readonly #isEdge: boolean;
  readonly #defaults: UpstreamTlsDefaults;
  readonly #base: Omit<ServiceTable, 'upstream' | 'tls'> | null;
  #bound: Bound | null = null;

  constructor(record: ConfigRecord, env: BuildEnv) {
    // Validated and signed by the control plane; what is used of it is looked at here.
    const service = record.body as unknown as Service;
    const spoken = SPOKEN.get(service.protocol);
    this.#ws = record.ws;
    this.#isEdge = env.runtime === 'edge';
    this.#defaults = env.upstreamTls;
    this.isEnabled = record.body['enabled'] !== false;
    this.upstreamKey = scopedKey(record.ws, service.host);
    this.fault = faultOf(record, env);
    const isUsable = spoken !== undefined && this.fault === null;
    this.takes = !isUsable ? null : spoken.isStream ? 'connections' : 'requests';
    this.#base = isUsable ? { service, ...spoken, path: service.path ?? '/' } : null;
  }

  /** The same table for the same upstream and certificates; or why its routes are closed. */
  bind(upstream: UpstreamTable | null, certificates: Certificates): ServiceOutcome {
    if (this.#base === null) return { table: null, fault: this.fault };
    if (this.#base.scheme === 'http') return this.#bindWith(upstream, null);
    if (this.#isEdge && isGiven(upstream?.upstream.client_certificate)) {
      return { table: null, fault: NO_EDGE_CLIENT_CERTIFICATE };
    }
    const { service } = this.#base;
    const found = findTlsParts(this.#ws, service, upstream?.upstream ?? null, certificates);
    return found.ok ? this.#bindWith(upstream, found.parts) : { table: null, fault: found.fault };
  }

  #bindWith(upstream: UpstreamTable | null, parts: TlsParts | null): ServiceOutcome {
    const before = this.#bound;
    const isTlsSame = before !== null && isSameTlsOrNone(before.parts, parts);
    if (isTlsSame && before.table.upstream === upstream) return before;
    const base = must(this.#base, 'a service without a fault');
    const made = parts === null ? null : makeServiceTls(parts, this.#defaults);
    const tls = isTlsSame ? before.table.tls : made;
    this.#bound = { parts, table: { ...base, upstream, tls }, fault: null };
    return this.#bound;
  }
}

export type ServiceOutcome =
  | { readonly table: ServiceTable; readonly fault: null }
  | { readonly table: null; readonly fault: string | null };

interface Bound {
  readonly parts: TlsParts | null;
  readonly table: ServiceTable;
  readonly fault: null;
}

function isSameTlsOrNone(a: TlsParts | null, b: TlsParts | null): boolean {
  return a === null || b === null ? a === b : isSameTls(a, b);
}

function faultOf({ body, fault }: ConfigRecord, env: BuildEnv): string | null {
  if (fault !== undefined) return fault;
  const protocol = body['protocol'];
  if (typeof protocol !== 'string' || !SPOKEN.has(protocol)) {
    return `a service of protocol ${JSON.stringify(protocol)} is not known here`;
  }
  if (typeof body['host'] !== 'string' || body['host'] === '') return 'the service has no host';
  if (env.runtime === 'edge' && !EDGE_PROTOCOLS.has(protocol)) {
    return `services of protocol ${protocol} are not supported at the edge`;
  }
  return env.runtime === 'edge' ? edgeTlsFault(body) : null;
}

/** A Worker's `fetch` verifies by the platform's own authorities, and shows no certificate. */
function edgeTlsFault(body: ConfigRecord['body']): string | null {
  if (isGiven(body['client_certificate'])) {
    return NO_EDGE_CLIENT_CERTIFICATE;
  }
  if (body['tls_verify'] !== true) return null;
  if (isGiven(body['ca_certificates'])) {
    return 'CA certificates of one’s own are not supported at the edge';
  }
  return isGiven(body['tls_verify_depth']) ? 'tls_verify_depth is not supported at the edge' : null;
}

/** What the edge does in another way, and better be known. It is served all the same. */
function edgeNote({ body }: ConfigRecord, env: BuildEnv): string | null {
  if (env.runtime !== 'edge' || body['tls_verify'] !== false) return null;
  return 'tls_verify false is not supported at the edge: certificates are always verified there';
}

function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== null && value !== undefined;
}
