/**
 * Keeps in the database what the nodes of each group run that are connected here: one row per group, and
 * a statement for all of them only when one changed. The number of nodes counts for nothing.
 */
import type { Db } from '../store/db.ts';
import {
  compareRevisions,
  standOf,
  standRow,
  type GroupStand,
  type Revision,
} from './group-stand.ts';
import type { LiveNode } from './live-node.ts';

/** Channel on which other control planes learn that nodes of a group serve, or refuse, something. */
export const ACKED_CHANNEL = 'headgate_acked';

/** How long a node that went away behind the others is told of. */
export const LEFT_MS_MAX = 60_000;
/** Of one group. */
const LEFT_COUNT_MAX = 100;

interface Left {
  readonly node: LiveNode;
  readonly atMs: number;
}

export class GroupAcks {
  readonly #db: Db;
  readonly #self: string;
  readonly #nodes = new Map<string, Map<string, LiveNode>>();
  readonly #left = new Map<string, Map<string, Left>>();
  readonly #heads = new Map<string, Revision>();
  /** What is written: by group, the row as JSON text. */
  readonly #written = new Map<string, string>();
  readonly #dirty = new Set<string>();

  constructor(db: Db, self: string) {
    this.#db = db;
    this.#self = self;
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Those that are connected here, by group. */
  nodesOf(groupId: string): Iterable<LiveNode> {
    return this.#nodes.get(groupId)?.values() ?? [];
  }

  connected(node: LiveNode): void {
    const nodes = this.#nodes.get(node.groupId) ?? new Map<string, LiveNode>();
    nodes.set(node.id, node);
    this.#nodes.set(node.groupId, nodes);
    this.#left.get(node.groupId)?.delete(node.id);
    this.changed(node.groupId);
  }

  disconnected(node: LiveNode): void {
    const nodes = this.#nodes.get(node.groupId);
    if (nodes?.get(node.id) !== node) return;
    nodes.delete(node.id);
    if (nodes.size === 0) this.#nodes.delete(node.groupId);
    this.changed(node.groupId);
  }

  /** It is connected nowhere, as far as the database knows. */
  left(node: LiveNode, nowMs: number): void {
    const left = this.#left.get(node.groupId) ?? new Map<string, Left>();
    if (left.size >= LEFT_COUNT_MAX) return;
    left.set(node.id, { node, atMs: nowMs });
    this.#left.set(node.groupId, left);
    this.changed(node.groupId);
  }

  /** A node serves or refuses another revision. */
  changed(groupId: string): void {
    this.#dirty.add(groupId);
  }

  /** The newest revision that was published. */
  published(groupId: string, head: Revision): void {
    this.#heads.set(groupId, { epoch: head.epoch, revision: head.revision });
    if (this.#nodes.has(groupId) || this.#left.has(groupId)) this.changed(groupId);
  }

  stand(groupId: string, nowMs: number): GroupStand {
    const left = this.#left.get(groupId) ?? new Map<string, Left>();
    for (const [id, { atMs }] of left) if (nowMs - atMs > LEFT_MS_MAX) left.delete(id);
    if (left.size === 0) this.#left.delete(groupId);
    const nodes = [...this.nodesOf(groupId)];
    const gone = [...left.values()].map(({ node }) => node);
    return standOf(nodes, gone, this.#headOf(groupId, nodes));
  }

  /** A node may serve what this process has not read yet. */
  #headOf(groupId: string, nodes: readonly LiveNode[]): Revision | null {
    let head = this.#heads.get(groupId) ?? null;
    for (const { position } of nodes) {
      if (head === null || compareRevisions(position, head) > 0) head = position;
    }
    return head;
  }

  /** What was written of a group may be gone. */
  writeAgain(groupId: string): void {
    this.#written.delete(groupId);
    if (this.#nodes.has(groupId)) this.#dirty.add(groupId);
  }

  /** Writes what changed, in one statement. @throws DbError; it is tried again with the next call */
  async write(nowMs: number): Promise<void> {
    if (this.#dirty.size === 0) return;
    const rows: { groupId: string; text: string }[] = [];
    for (const groupId of this.#dirty) {
      const stand = this.stand(groupId, nowMs);
      const isEmpty = stand.connected === 0 && stand.laggards.length === 0;
      const text = isEmpty ? '' : JSON.stringify({ group_id: groupId, ...standRow(stand) });
      if (text !== (this.#written.get(groupId) ?? '')) rows.push({ groupId, text });
    }
    this.#dirty.clear();
    if (rows.length === 0) return;
    try {
      await this.#save(rows);
    } catch (error) {
      for (const { groupId } of rows) this.#dirty.add(groupId);
      throw error;
    }
    for (const { groupId, text } of rows) {
      if (text === '') this.#written.delete(groupId);
      else this.#written.set(groupId, text);
      if (!this.#nodes.has(groupId)) this.#heads.delete(groupId);
    }
  }

  async #save(rows: readonly { groupId: string; text: string }[]): Promise<void> {
    const kept = rows.filter(({ text }) => text !== '').map(({ text }) => text);
    const gone = rows.filter(({ text }) => text === '').map(({ groupId }) => groupId);
    if (kept.length > 0) {
      await this.#db.query(
        `INSERT INTO group_acks (control_plane, group_id, connected, edge, set_aside, lagging, counts,
           laggards, written_at)
         SELECT $2::uuid, r.group_id, r.connected, r.edge, r.set_aside, r.lagging, r.counts,
           r.laggards, now()
         FROM jsonb_to_recordset($1::jsonb) AS r(group_id uuid, connected integer, edge integer,
           set_aside integer, lagging integer, counts jsonb, laggards jsonb)
         ON CONFLICT (control_plane, group_id) DO UPDATE SET connected = excluded.connected,
           edge = excluded.edge, set_aside = excluded.set_aside, lagging = excluded.lagging,
           counts = excluded.counts, laggards = excluded.laggards, written_at = excluded.written_at`,
        [`[${kept.join(',')}]`, this.#self],
      );
    }
    if (gone.length > 0) {
      await this.#db.query(
        'DELETE FROM group_acks WHERE control_plane = $1 AND group_id = ANY($2::uuid[])',
        [this.#self, gone],
      );
    }
    await this.#db.notify(ACKED_CHANNEL, this.#self);
  }

  /** Nobody is connected here any more. */
  async forget(): Promise<void> {
    await this.#db.query('DELETE FROM group_acks WHERE control_plane = $1', [this.#self]);
  }
}
