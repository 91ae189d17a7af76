/**
 * Who serves what a write made: pure, from what is known of the nodes. A node counts that was connected when
 * the write was committed; who came later counts for nothing, and who left in between has not served it.
 */
import type { JsonObject } from '#shared/schema/field.ts';
import { EDGE_SETTINGS } from '#shared/settings/edge.ts';
import {
  compareRevisions,
  laggardOf,
  LAGGARDS_MAX,
  servingAtLeast,
  type GroupStand,
  type Laggard,
  type Revision,
} from '../nodes/group-stand.ts';
import type { LiveNode } from '../nodes/live-node.ts';

/**
 * An acknowledgement of a deployment at the edge is its hub's; its isolates ask the hub every few seconds, and
 * none answers without asking that is older than this, unless the deployment says otherwise.
 */
export const EDGE_WITHIN_S: number = EDGE_SETTINGS.HEADGATE_MAX_ISOLATE_AGE_SECONDS.default;

/** A group that is to serve it, as it was when the write was committed. */
export interface AwaitedGroup {
  readonly id: string;
  readonly name: string;
  /** First revision seen that has it; null: nobody has published it yet. */
  target: Revision | null;
  /** Nodes that were connected to this control plane, and have not served it yet. */
  readonly pending: Set<string>;
  /** Of those, how many have. */
  done: number;
  /** Of those, deployments at the edge. */
  edge: number;
  /** Nodes that were connected to other control planes, by theirs. */
  readonly elsewhere: ReadonlyMap<string, number>;
}

/** What a control plane sums up, as its row of `group_acks` has it. */
export type RemoteStand = Pick<
  GroupStand,
  'connected' | 'edge' | 'setAside' | 'counts' | 'laggards'
>;

export interface Knowledge {
  readonly self: string;
  live(nodeId: string): LiveNode | null;
  /** Null: it says nothing of the group, or is not alive. */
  remote(controlPlane: string, groupId: string): RemoteStand | null;
  /** To which other control plane a node has gone that left this one; null: to none. */
  wentTo(nodeId: string): string | null;
}

export interface GroupReceipt {
  readonly id: string;
  readonly name: string;
  readonly revision: Revision | null;
  readonly connected: number;
  readonly applied: number;
  readonly edge: number;
  /** Nodes that serve it but for some entity, which they set aside. */
  readonly setAside: number;
  readonly lagging: readonly (Laggard & { readonly control_plane: string })[];
  /** Nobody of those who are missing will serve it: they refused it. */
  readonly isHopeless: boolean;
}

export interface Receipt {
  readonly status: 'applied' | 'incomplete';
  readonly applied: number;
  readonly connected: number;
  readonly edge: number;
  readonly groups: readonly GroupReceipt[];
}

export function receiptOf(groups: readonly AwaitedGroup[], known: Knowledge): Receipt {
  const receipts = groups.map((group) => groupReceipt(group, known));
  const sum = (of: (group: GroupReceipt) => number): number =>
    receipts.reduce((total, group) => total + of(group), 0);
  const isApplied = receipts.every(({ revision, connected, applied }) => {
    return revision !== null && applied >= connected;
  });
  return {
    status: isApplied ? 'applied' : 'incomplete',
    applied: sum(({ applied }) => applied),
    connected: sum(({ connected }) => connected),
    edge: sum(({ edge }) => edge),
    groups: receipts,
  };
}

function groupReceipt(group: AwaitedGroup, known: Knowledge): GroupReceipt {
  const { id, name, target, elsewhere } = group;
  const lagging: GroupReceipt['lagging'][number][] = [];
  const counts = { connected: 0, applied: 0, edge: 0, setAside: 0, refused: 0 };
  const lag = (laggard: Laggard, control_plane: string): void => {
    if (isRefusal(laggard, target)) counts.refused += 1;
    if (lagging.length < LAGGARDS_MAX) lagging.push({ ...laggard, control_plane });
  };
  for (const nodeId of group.pending) here(group, nodeId, known, lag);
  counts.connected = group.done + group.pending.size;
  counts.applied = group.done;
  counts.edge = group.edge;
  for (const [controlPlane, count] of elsewhere) {
    const stand = known.remote(controlPlane, id);
    counts.connected += count;
    if (stand === null || target === null) continue;
    counts.edge += stand.edge;
    counts.setAside += stand.setAside;
    const missing = stand.laggards.filter((laggard) => compareRevisions(laggard, target) < 0);
    const served = servingAtLeast(stand, target);
    // Everyone there serves it, and nobody left before: then those do that were there at the time.
    const isDone = served >= stand.connected && missing.length === 0;
    counts.applied += isDone ? count : Math.min(served, Math.max(0, count - 1));
    for (const laggard of missing) lag(laggard, controlPlane);
  }
  const { connected, applied, edge, setAside, refused } = counts;
  const isHopeless = applied < connected && refused >= connected - applied;
  return { id, name, revision: target, connected, applied, edge, setAside, lagging, isHopeless };
}

/** Takes a node out of those that are awaited once it serves the target. */
function here(
  group: AwaitedGroup,
  nodeId: string,
  known: Knowledge,
  lag: (laggard: Laggard, controlPlane: string) => void,
): void {
  const live = known.live(nodeId);
  const { target } = group;
  if (live === null) {
    const wentTo = known.wentTo(nodeId);
    const stand = wentTo === null ? null : known.remote(wentTo, group.id);
    const isThere =
      stand !== null &&
      target !== null &&
      servingAtLeast(stand, target) >= stand.connected &&
      !stand.laggards.some(({ node }) => node === nodeId);
    if (isThere) return serves(group, nodeId, null);
    return lag({ node: nodeId, epoch: 0, revision: 0, state: 'left', refused: null }, known.self);
  }
  if (target !== null && compareRevisions(live.position, target) >= 0) {
    return serves(group, nodeId, live);
  }
  lag(laggardOf(live), known.self);
}

function serves(group: AwaitedGroup, nodeId: string, live: LiveNode | null): void {
  group.pending.delete(nodeId);
  group.done += 1;
  if (live?.about.runtime === 'edge') group.edge += 1;
}

function isRefusal({ refused }: Laggard, target: Revision | null): boolean {
  return refused !== null && target !== null && compareRevisions(refused, target) >= 0;
}

/** Headers of the answer to a write: no client that does not ask for them is told anything else. */
export function receiptHeaders(receipt: Receipt): Record<string, string> {
  const { status, applied, connected, edge } = receipt;
  return {
    'Headgate-Receipt': status,
    'Headgate-Applied': `${applied}/${connected}`,
    // Some isolates may still answer by what was before, so long at most.
    ...(edge > 0 ? { 'Headgate-Applied-Within': String(EDGE_WITHIN_S) } : {}),
  };
}

export function receiptJson(receipt: Receipt): JsonObject {
  const { status, applied, connected, edge, groups } = receipt;
  return {
    status,
    applied,
    connected,
    edge_within_seconds: edge > 0 ? EDGE_WITHIN_S : null,
    groups: groups.map((group) => ({
      id: group.id,
      name: group.name,
      epoch: group.revision?.epoch ?? null,
      revision: group.revision?.revision ?? null,
      connected: group.connected,
      applied: group.applied,
      edge: group.edge,
      set_aside: group.setAside,
      lagging: group.lagging,
    })),
  };
}
