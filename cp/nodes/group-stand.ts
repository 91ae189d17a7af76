/** Where the nodes of a group stand that are connected to one control plane, in a bounded summary. */
import type { JsonValue } from '#shared/schema/field.ts';
import { clean } from './clean.ts';
import type { LiveNode } from './live-node.ts';

/** Laggards named; of further ones only their number. */
export const LAGGARDS_MAX = 100;
/** Revisions counted by themselves; older ones count together, as the oldest. */
export const COUNTS_MAX = 20;
/** Of a reason in a row that everybody reads. */
const DETAIL_LENGTH_MAX = 200;

/** Where a group's history is; compared epoch first. */
export interface Revision {
  readonly epoch: number;
  readonly revision: number;
}

/** A type and not an interface, because it is written as JSON. */
export type Laggard = {
  readonly node: string;
  readonly epoch: number;
  readonly revision: number;
  /** `left`: it went away without serving the newest, and has not come back here. */
  readonly state: 'behind' | 'refused' | 'left';
  /** Of what it refused; null unless `refused`. */
  readonly refused: {
    readonly epoch: number;
    readonly revision: number;
    readonly code: string;
    readonly entity: { readonly kind: string; readonly id: string } | null;
    readonly detail: string;
  } | null;
};

export interface GroupStand {
  readonly connected: number;
  /** Of those, deployments at the edge. */
  readonly edge: number;
  /** Nodes that do without some entity. */
  readonly setAside: number;
  readonly lagging: number;
  /** Newest first. */
  readonly counts: readonly (readonly [epoch: number, revision: number, nodes: number])[];
  readonly laggards: readonly Laggard[];
}

export function compareRevisions(a: Revision, b: Revision): number {
  return a.epoch - b.epoch || a.revision - b.revision;
}

/**
 * @param left  nodes that went away
 * @param head  what the group's nodes should serve; null when nothing was published
 */
export function standOf(
  nodes: readonly LiveNode[],
  left: readonly LiveNode[],
  head: Revision | null,
): GroupStand {
  const byRevision = new Map<string, [number, number, number]>();
  const laggards: Laggard[] = [];
  let lagging = 0;
  let edge = 0;
  let setAside = 0;
  for (const node of nodes) {
    const { epoch, revision } = node.position;
    const key = `${epoch}/${revision}`;
    const count = byRevision.get(key);
    if (count === undefined) byRevision.set(key, [epoch, revision, 1]);
    else count[2] += 1;
    if (node.about.runtime === 'edge') edge += 1;
    if (node.quarantined.length > 0) setAside += 1;
    if (head === null || compareRevisions(node.position, head) >= 0) continue;
    lagging += 1;
    if (laggards.length < LAGGARDS_MAX) laggards.push(laggardOf(node));
  }
  for (const node of left) {
    if (head === null || compareRevisions(node.position, head) >= 0) continue;
    if (laggards.length < LAGGARDS_MAX) laggards.push({ ...laggardOf(node), state: 'left' });
  }
  const counts = [...byRevision.values()].toSorted((a, b) => b[0] - a[0] || b[1] - a[1]);
  return { connected: nodes.length, edge, setAside, lagging, counts: merged(counts), laggards };
}

export function laggardOf({ id: node, position, refusal }: LiveNode): Laggard {
  const { epoch, revision } = position;
  if (refusal === null) return { node, epoch, revision, state: 'behind', refused: null };
  const { code, entity, detail } = refusal;
  const refused = {
    epoch: refusal.position.epoch,
    revision: refusal.position.revision,
    code,
    entity: entity === null ? null : { kind: clean(entity.kind), id: clean(entity.id) },
    detail: clean(detail).slice(0, DETAIL_LENGTH_MAX),
  };
  return { node, epoch, revision, state: 'refused', refused };
}

/** How many of them serve it, or something newer. */
export function servingAtLeast({ counts }: Pick<GroupStand, 'counts'>, wanted: Revision): number {
  let nodes = 0;
  for (const [epoch, revision, count] of counts) {
    if (compareRevisions({ epoch, revision }, wanted) < 0) break;
    nodes += count;
  }
  return nodes;
}

type Counts = [epoch: number, revision: number, nodes: number][];

function merged(counts: Counts): Counts {
  if (counts.length <= COUNTS_MAX) return counts;
  const kept = counts.slice(0, COUNTS_MAX - 1);
  const older = counts.slice(COUNTS_MAX - 1);
  const oldest = older.at(-1);
  if (oldest === undefined) return kept;
  const nodes = older.reduce((sum, [, , count]) => sum + count, 0);
  return [...kept, [oldest[0], oldest[1], nodes]];
}

/** As a row of `group_acks` has it, but for its keys. */
export function standRow(stand: GroupStand): Record<string, JsonValue> {
  const { connected, edge, setAside, lagging, counts, laggards } = stand;
  return {
    connected,
    edge,
    set_aside: setAside,
    lagging,
    counts,
    laggards,
  };
}
