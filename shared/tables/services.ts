/** Services: where routes lead to, without what else that depends on. */
import { PersistentMap } from '../base/persistent-map.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { Service } from '../entities/service.ts';
import type { BuildEnv } from './build-env.ts';
import type { Changes } from './changes.ts';
import type { QuarantineEdit } from './quarantine.ts';
import { scopedKey, type ServiceTable, type UpstreamTable } from './tables.ts';

/** By `scopedKey(ws, id)`. Kept from tables to tables. */
export type ServicesPart = PersistentMap<ServiceSource>;

export const NO_SERVICES: ServicesPart = PersistentMap.empty();

export function applyServices(
  before: ServicesPart,
  changes: Changes,
  env: BuildEnv,
  quarantine: QuarantineEdit,
): ServicesPart {
  const services = before.edit();
  for (const record of changes.removed('services')) {
    services.delete(scopedKey(record.ws, record.id));
    quarantine.set(record, null);
  }
  for (const record of changes.added('services')) {
    const source = new ServiceSource(record, env);
    services.set(scopedKey(record.ws, record.id), source);
    quarantine.set(record, source.fault);
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
  readonly #base: Omit<ServiceTable, 'upstream'> | null;
  #bound: ServiceTable | null = null;

  constructor(record: ConfigRecord, env: BuildEnv) {
    // Validated and signed by the control plane; what is used of it is looked at here.
    const service = record.body as unknown as Service;
    const spoken = SPOKEN.get(service.protocol);
    this.isEnabled = record.body['enabled'] !== false;
    this.upstreamKey = scopedKey(record.ws, service.host);
    this.fault = faultOf(record, env);
    const isUsable = spoken !== undefined && this.fault === null;
    this.takes = !isUsable ? null : spoken.isStream ? 'connections' : 'requests';
    this.#base = isUsable ? { service, ...spoken, path: service.path ?? '/' } : null;
  }

  /** The same table for the same upstream. Null when the service has a fault. */
  bind(upstream: UpstreamTable | null): ServiceTable | null {
    if (this.#base === null) return null;
    if (this.#bound === null || this.#bound.upstream !== upstream) {
      this.#bound = { ...this.#base, upstream };
    }
    return this.#bound;
  }
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
  return null;
}
