/** Upstreams with their targets: what a service's host name may stand for. */
import { Balancer, buildBalancer, NOTHING_CHECKED } from '../balancer/balancer.ts';
import { readTarget } from '../balancer/target.ts';
import { PersistentMap } from '../base/persistent-map.ts';
import type { Sliced } from '../base/slices.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { Target } from '../entities/target.ts';
import type { Upstream } from '../entities/upstream.ts';
import type { HealthRegistry, UpstreamsStep } from '../health/registry.ts';
import type { BuildEnv } from './build-env.ts';
import { type Changes, foreignId } from './changes.ts';
import { NO_EDGE_CLIENT_CERTIFICATE } from './service-tls.ts';
import { messageOf, type QuarantineEdit } from './quarantine.ts';
import { scopedKey, type UpstreamTable } from './tables.ts';
import { UniqueMap } from './unique-map.ts';

/** One upstream's records; `record` null while only targets name it. */
interface Held {
  readonly record: ConfigRecord | null;
  /** By id. */
  readonly targets: PersistentMap<ConfigRecord>;
  readonly table: UpstreamTable | null;
}

/** Kept from tables to tables. */
export interface UpstreamsPart {
  /** By `scopedKey(ws, name)`. */
  readonly byName: UniqueMap<UpstreamTable>;
  /** By `scopedKey(ws, id of the upstream)`. */
  readonly held: PersistentMap<Held>;
  /** How `byName` came about. */
  readonly step: UpstreamsStep;
}

const NO_EDGE_PROBES = 'active health checks are not supported at the edge';

export const NO_UPSTREAMS: UpstreamsPart = {
  byName: UniqueMap.empty(),
  held: PersistentMap.empty(),
  step: { from: null, touched: [] },
};

/** Builds the balancers of the upstreams that something changed of; all others stay as they are. */
export function* applyUpstreams(
  before: UpstreamsPart,
  changes: Changes,
  { health, runtime }: BuildEnv,
  quarantine: QuarantineEdit,
): Sliced<UpstreamsPart> {
  const touched = yield* touchedUpstreams(before, changes, quarantine);
  if (touched.size === 0) return before;
  const held = before.held.edit();
  const gone: [string, UpstreamTable][] = [];
  const made: [string, UpstreamTable][] = [];
  for (const [key, { record, targets }] of touched) {
    yield;
    const { record: oldRecord, table: old } = before.held.get(key) ?? NOTHING;
    if (oldRecord !== null) quarantine.set(oldRecord, null);
    if (old !== null) gone.push([scopedKey(old.ws, old.upstream.name), old]);
    const asksForMore = runtime === 'edge' && (record?.body['client_certificate'] ?? null) !== null;
    if (asksForMore && record !== null) quarantine.set(record, NO_EDGE_CLIENT_CERTIFICATE);
    const table = record === null ? null : makeTable(record, targets, old, { health, quarantine });
    const isProbed = runtime === 'edge' && table?.balancer.checks.isActiveOn === true;
    // It is served all the same: by what requests tell of it.
    if (isProbed && !asksForMore && record !== null) quarantine.set(record, NO_EDGE_PROBES);
    if (table !== null) made.push([scopedKey(table.ws, table.upstream.name), table]);
    if (record === null && targets.size === 0) held.delete(key);
    else held.set(key, { record, targets, table });
  }
  const names = [...gone, ...made].map(([name]) => name);
  const step = { from: before.byName.winners, touched: names };
  const byName = yield* before.byName.withSliced(gone, made);
  return { byName, held: held.done(), step };
}

interface Touched {
  record: ConfigRecord | null;
  targets: PersistentMap<ConfigRecord>;
}

/** The records of each upstream concerned, as they are now. */
function* touchedUpstreams(
  before: UpstreamsPart,
  changes: Changes,
  quarantine: QuarantineEdit,
): Sliced<Map<string, Touched>> {
  const touched = new Map<string, Touched>();
  const at = (key: string): Touched => {
    let now = touched.get(key);
    if (now === undefined) {
      const { record, targets } = before.held.get(key) ?? NOTHING;
      now = { record, targets };
      touched.set(key, now);
    }
    return now;
  };
  const keyOf = (target: ConfigRecord): string =>
    scopedKey(target.ws, foreignId(target, 'upstream') ?? '');
  for (const { ws, id } of changes.removed('upstreams')) at(scopedKey(ws, id)).record = null;
  for (const record of changes.added('upstreams')) {
    at(scopedKey(record.ws, record.id)).record = record;
  }
  for (const target of changes.removed('targets')) {
    yield;
    const now = at(keyOf(target));
    now.targets = now.targets.delete(target.id);
    quarantine.set(target, null);
  }
  for (const target of changes.added('targets')) {
    yield;
    const now = at(keyOf(target));
    if (isTarget(target)) now.targets = now.targets.set(target.id, target);
    else quarantine.set(target, 'the target is neither a name nor an address');
  }
  return touched;
}

function isTarget({ body }: ConfigRecord): boolean {
  const target = body['target'];
  return typeof target === 'string' && readTarget({ target, weight: 0 }) !== null;
}

const NOTHING: Held = { record: null, targets: PersistentMap.empty(), table: null };

function makeTable(
  record: ConfigRecord,
  targets: PersistentMap<ConfigRecord>,
  before: UpstreamTable | null,
  { health, quarantine }: { health: HealthRegistry; quarantine: QuarantineEdit },
): UpstreamTable {
  // Validated and signed by the control plane; a wrong shape throws below.
  const upstream = record.body as unknown as Upstream;
  const base = { id: record.id, ws: record.ws, upstream };
  const state = health.state(record.ws, upstream.name);
  const isRenamed = before !== null && before.balancer.state !== state;
  try {
    const entities = [...targets.values()].map(({ body }) => body as unknown as Target);
    const previous = before === null || isRenamed ? null : before.balancer;
    return { ...base, balancer: buildBalancer(state, upstream, entities, previous) };
  } catch (error) {
    quarantine.set(record, messageOf(error));
    // It must not be taken for a host name: it has no peer.
    return { ...base, balancer: new Balancer(state, NOTHING_CHECKED, [], null) };
  }
}
