/**
 * Waits until the nodes serve what was written. Whatever the number of waiters, one look at the database
 * serves them all, and it is made when somebody says that there is something to see.
 */
import type { Clock, Logger } from '#shared/platform/platform.ts';
import { PUBLISHED_CHANNEL } from '../changes/publication.ts';
import { ACKED_CHANNEL } from '../nodes/group-acks.ts';
import type { Revision } from '../nodes/group-stand.ts';
import { isAlive } from '../nodes/liveness.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { Db } from '../store/db.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import {
  receiptOf,
  type AwaitedGroup,
  type Knowledge,
  type Receipt,
  type RemoteStand,
} from './receipt.ts';

/** Writes that wait at once; a further one is answered by what is known at the time. */
export const WAITERS_MAX = 200;
export const WAIT_S_DEFAULT = 10;
export const WAIT_S_MAX = 60;

/** Hints are gathered so long before anybody looks. */
const GATHER_MS = 20;
/** Looks without a hint, which may have been lost. */
const LOOK_MS = 1_000;

/** A workspace's id and the version that the write made of it. */
export type Wanted = ReadonlyMap<string, number>;

export interface ReceiptsOptions {
  readonly db: Db;
  readonly registry: Pick<NodeRegistry, 'self' | 'live' | 'nodesOf' | 'onChange'>;
  /** Tells when this process published something. */
  readonly onPublished: (fn: () => void) => () => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Waiter {
  readonly wanted: Wanted;
  readonly groups: readonly AwaitedGroup[];
  readonly settle: (receipt: Receipt) => void;
}

interface GroupRow {
  readonly id: string;
  readonly name: string;
  readonly epoch: number;
  readonly revision: number;
  readonly published: Readonly<Record<string, number>>;
}

type AckRow = Pick<RemoteStand, 'connected' | 'edge' | 'counts' | 'laggards'> & {
  readonly control_plane: string;
  readonly group_id: string;
  readonly set_aside: number;
};

export class Receipts {
  readonly #options: ReceiptsOptions;
  readonly #waiters = new Set<Waiter>();
  readonly #stops: (() => unknown)[] = [];
  #cancelTimer: (() => void) | null = null;
  #timerAtMs = 0;
  #isLooking = false;
  #isAsked = false;
  #isClosed = false;

  constructor(options: ReceiptsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { db, registry, onPublished } = this.#options;
    const hint = (): void => this.#lookIn(GATHER_MS);
    this.#stops.push(registry.onChange(hint), onPublished(hint));
    this.#stops.push(await db.listen(PUBLISHED_CHANNEL, hint));
    this.#stops.push(await db.listen(ACKED_CHANNEL, hint));
  }

  /**
   * To be called right after the commit: it counts who is connected now. Never rejects.
   *
   * @param timeoutMs  0: what is known now
   * @returns null when it cannot be known who was connected
   */
  async wait(wanted: Wanted, timeoutMs: number): Promise<Receipt | null> {
    let groups: AwaitedGroup[];
    try {
      groups = await this.#awaited(wanted);
    } catch (error) {
      this.#failed(error);
      return null;
    }
    return new Promise((resolve) => {
      let cancel: () => void = () => {};
      const waiter: Waiter = {
        wanted,
        groups,
        settle: (receipt) => {
          cancel();
          this.#waiters.delete(waiter);
          resolve(receipt);
        },
      };
      const isFull = this.#waiters.size >= WAITERS_MAX;
      this.#waiters.add(waiter);
      const late = isFull ? 0 : timeoutMs;
      cancel = this.#options.clock.setTimer(late, () => void this.#settleLate(waiter));
      this.#lookIn(GATHER_MS);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer?.();
    for (const stop of this.#stops.splice(0)) stop();
    for (const waiter of this.#waiters) waiter.settle(receiptOf(waiter.groups, this.#knowing()));
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  async #settleLate(waiter: Waiter): Promise<void> {
    const known = await this.#look([waiter]);
    if (this.#waiters.has(waiter)) waiter.settle(receiptOf(waiter.groups, known));
  }

  /** The groups that are to serve it, with the nodes they have. */
  async #awaited(wanted: Wanted): Promise<AwaitedGroup[]> {
    const { db, registry } = this.#options;
    const { rows } = await db.query<GroupRow & { readonly elsewhere: Record<string, number> }>(
      `SELECT g.id, g.name, g.epoch, g.revision, g.published, coalesce((
         SELECT jsonb_object_agg(c.connected_to, c.nodes) FROM (
           SELECT n.connected_to, count(*) AS nodes FROM nodes n
           WHERE n.group_id = g.id AND n.connected_to IS NOT NULL AND n.connected_to <> $2
             AND n.revoked_at IS NULL GROUP BY n.connected_to) c
         WHERE ${isAlive('c.connected_to')}), '{}') AS elsewhere
       FROM groups g
       WHERE g.workspaces && $1::uuid[] OR ($3 AND cardinality(g.workspaces) > 0)
       ORDER BY g.name`,
      [[...wanted.keys()], registry.self, wanted.has(SYSTEM_WORKSPACE)],
    );
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      target: targetOf(row, wanted),
      pending: new Set([...registry.nodesOf(row.id)].map(({ id }) => id)),
      done: 0,
      edge: 0,
      elsewhere: new Map(Object.entries(row.elsewhere)),
    }));
  }

  #lookIn(delayMs: number): void {
    if (this.#isClosed || this.#waiters.size === 0) return;
    if (this.#isLooking) {
      this.#isAsked = true;
      return;
    }
    const { clock } = this.#options;
    const atMs = clock.monotonic() + delayMs;
    if (this.#cancelTimer !== null && this.#timerAtMs <= atMs) return;
    this.#cancelTimer?.();
    this.#timerAtMs = atMs;
    this.#cancelTimer = clock.setTimer(delayMs, () => {
      this.#cancelTimer = null;
      void this.#lookForAll();
    });
  }

  async #lookForAll(): Promise<void> {
    this.#isLooking = true;
    this.#isAsked = false;
    await this.#look([...this.#waiters]);
    this.#isLooking = false;
    this.#lookIn(this.#isAsked ? GATHER_MS : LOOK_MS);
  }

  async #look(waiters: readonly Waiter[]): Promise<Knowledge> {
    let known = this.#knowing();
    try {
      await this.#readTargets(waiters);
      known = this.#knowing(await this.#readRemote(waiters), await this.#readMoved(waiters));
    } catch (error) {
      this.#failed(error);
      return known;
    }
    for (const waiter of waiters) {
      if (!this.#waiters.has(waiter)) continue;
      const receipt = receiptOf(waiter.groups, known);
      const isOver =
        receipt.status === 'applied' ||
        receipt.groups.every((group) => group.isHopeless || isServed(group));
      if (isOver) waiter.settle(receipt);
    }
    return known;
  }

  #knowing(
    remote: ReadonlyMap<string, RemoteStand> = new Map(),
    wentTo: ReadonlyMap<string, string> = new Map(),
  ): Knowledge {
    const { registry } = this.#options;
    return {
      self: registry.self,
      live: (nodeId) => registry.live(nodeId),
      remote: (by, groupId) => remote.get(`${by} ${groupId}`) ?? null,
      wentTo: (nodeId) => wentTo.get(nodeId) ?? null,
    };
  }

  /** Whether what waiters wait for was published, and as what. */
  async #readTargets(waiters: readonly Waiter[]): Promise<void> {
    const open = waiters.flatMap(({ wanted, groups }) =>
      groups.filter(({ target }) => target === null).map((group) => ({ wanted, group })),
    );
    if (open.length === 0) return;
    const { rows } = await this.#options.db.query<GroupRow>(
      'SELECT id, name, epoch, revision, published FROM groups WHERE id = ANY($1::uuid[])',
      [[...new Set(open.map(({ group }) => group.id))]],
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const { wanted, group } of open) {
      const row = byId.get(group.id);
      if (row !== undefined) group.target = targetOf(row, wanted);
    }
  }

  /** What the nodes of other control planes serve. */
  async #readRemote(waiters: readonly Waiter[]): Promise<Map<string, RemoteStand>> {
    const groups = waiters.flatMap((waiter) => waiter.groups);
    const { db, registry } = this.#options;
    const isAsked = groups.filter(
      ({ elsewhere, pending }) =>
        elsewhere.size > 0 || [...pending].some((id) => registry.live(id) === null),
    );
    if (isAsked.length === 0) return new Map();
    const { rows } = await db.query<AckRow>(
      `SELECT control_plane, group_id, connected, edge, set_aside, counts, laggards
       FROM group_acks WHERE group_id = ANY($1::uuid[]) AND control_plane <> $2
         AND ${isAlive('control_plane')}`,
      [[...new Set(isAsked.map(({ id }) => id))], registry.self],
    );
    return new Map(
      rows.map(({ control_plane: by, group_id: group, set_aside: setAside, ...stand }) => [
        `${by} ${group}`,
        { ...stand, setAside },
      ]),
    );
  }

  /** Where the nodes are that were here and left. */
  async #readMoved(waiters: readonly Waiter[]): Promise<Map<string, string>> {
    const { db, registry } = this.#options;
    const left = new Set<string>();
    for (const { groups } of waiters) {
      for (const { pending } of groups) {
        for (const id of pending) if (registry.live(id) === null) left.add(id);
      }
    }
    if (left.size === 0) return new Map();
    const { rows } = await db.query<{ id: string; at: string }>(
      `SELECT id, connected_to AS at FROM nodes WHERE id = ANY($1::uuid[])
         AND connected_to IS NOT NULL AND connected_to <> $2`,
      [[...left], registry.self],
    );
    return new Map(rows.map(({ id, at }) => [id, at]));
  }

  #failed(error: unknown): void {
    this.#options.logger.log('warn', 'receipts could not read the database', {
      error: error instanceof Error ? error.message : String(error),
    });
  }
}

function isServed({ revision, applied, connected }: Receipt['groups'][number]): boolean {
  return revision !== null && applied >= connected;
}

/** The group's newest revision, if it has all of it. */
function targetOf(row: GroupRow, wanted: Wanted): Revision | null {
  for (const [ws, version] of wanted) {
    const published = row.published[ws];
    if (published !== undefined && published < version) return null;
  }
  const isAny = [...wanted.keys()].some((ws) => row.published[ws] !== undefined);
  return isAny ? { epoch: row.epoch, revision: row.revision } : null;
}
