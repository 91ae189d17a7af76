/**
 * The nodes: who may join, who is here, what each serves. Heartbeats are kept in memory; transitions
 * are written in batches, so that the number of statements does not grow with the number of nodes
 * (decision 9). Nothing a node says ends up anywhere but in its own row.
 */
import type { Clock, Logger, Random } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Db } from '../store/db.ts';
import {
  DOWN_METHODS,
  featureOf,
  type DownMethods,
  type ParamsOf,
} from '#shared/wire/rpc-methods.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { Report } from '../sync/session.ts';
import { clean, cleanPosition } from './clean.ts';
import { GroupAcks } from './group-acks.ts';
import type { GroupStand, Revision } from './group-stand.ts';
import { applyReport, ERROR_LENGTH_MAX, syncStatusOf, type LiveNode } from './live-node.ts';
import { isAlive } from './liveness.ts';
import { NodeHealth, type NodeReport } from './node-health.ts';
import { listNodes, PAGE_MAX, type NodeQuery } from './node-list.ts';
import { forgetStrays, sweepNodes } from './node-sweep.ts';

/** Channel on which all control planes learn what they are to tell their nodes of a target. */
export const HEALTH_CHANNEL = 'headgate_health';

/** How somebody says that a target is. */
export type SaidHealth = ParamsOf<DownMethods['target_health']>;

/** What came by `HEALTH_CHANNEL`; null for anything else, such as the empty hint after a reconnect. */
export function readSaidHealth(text: string): SaidHealth | null {
  if (text === '') return null;
  const parsed = parseRecord(DOWN_METHODS.target_health.params, JSON.parse(text));
  return parsed.ok ? parsed.value : null;
}

/** Changes are written so long after the first of them; without any, nothing is. */
export const FLUSH_MS = 500;
/** Rows in one statement. */
const FLUSH_BATCH = 1_000;
/** Of a reason for which an entity was set aside. */
const REASON_LENGTH_MAX = 500;

export interface RegistryOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class NodeRegistry {
  readonly #options: RegistryOptions;
  /** Names this process in rows: a node's session here must not be cleared by another process. */
  readonly #self: string;
  readonly #live = new Map<string, LiveNode>();
  /** Gone, and not yet written. */
  readonly #gone = new Map<string, LiveNode>();
  readonly #health: NodeHealth;
  readonly #acks: GroupAcks;
  readonly #listeners = new Set<(groupId: string) => void>();
  #cancelTimer: (() => void) | null = null;
  #flushing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#self = options.random.uuid();
    this.#health = new NodeHealth(options.db);
    this.#acks = new GroupAcks(options.db, this.#self);
  }

  /** Id of this control plane's process, as in `nodes.connected_to`. */
  get self(): string {
    return this.#self;
  }

  /** Nodes that may connect, as `/clustering/data-planes` shows them, a page of them. */
  list(query: Partial<NodeQuery> = {}): Promise<JsonObject[]> {
    return listNodes(this.#options.db, this, { size: PAGE_MAX, after: null, ...query });
  }

  /** What is known of a node that is connected here. */
  live(nodeId: string): LiveNode | null {
    return this.#live.get(nodeId) ?? null;
  }

  /** Nodes of a group that are connected here. */
  nodesOf(groupId: string): Iterable<LiveNode> {
    return this.#acks.nodesOf(groupId);
  }

  stand(groupId: string): GroupStand {
    return this.#acks.stand(groupId, this.#options.clock.monotonic());
  }

  /** Nodes that went away and whose rows do not say so yet. */
  get leaving(): readonly string[] {
    return [...this.#gone.keys()];
  }

  /** Calls `fn` when nodes of a group came, went, or serve or refuse another revision. */
  onChange(fn: (groupId: string) => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /** Its row was written by whoever admitted it; from here on it is in memory. */
  connected(
    node: Pick<
      LiveNode,
      'id' | 'groupId' | 'ip' | 'about' | 'level' | 'certificateExpiry' | 'position'
    >,
  ): LiveNode {
    const nowMs = this.#options.clock.now();
    const live: LiveNode = {
      ...node,
      persisted: null,
      lastError: null,
      quarantined: [],
      refusal: null,
      lastSeenMs: nowMs,
      updatedMs: nowMs,
      isDirty: true,
    };
    const older = this.#live.get(node.id);
    if (older !== undefined) this.#acks.disconnected(older);
    this.#live.set(node.id, live);
    this.#gone.delete(node.id);
    this.#acks.connected(live);
    this.#changed(live.groupId);
    return live;
  }

  /** The newest revision of a group, as far as this process has read. */
  published(groupId: string, head: Revision): void {
    this.#acks.published(groupId, head);
    if (this.#acks.isDirty) this.#wake();
  }

  /** The database has lost what it was told last: the rows of a group's nodes are written once more. */
  writeAgain(groupId: string): void {
    for (const node of this.#live.values()) if (node.groupId === groupId) node.isDirty = true;
    this.#acks.writeAgain(groupId);
    this.#wake();
  }

  /** What connected nodes say of an Upstream. */
  health(ws: string, upstream: string): Promise<NodeReport[]> {
    return this.#health.of(ws, upstream);
  }

  /**
   * Tells the data planes that serve the workspace how a target is. Nobody keeps it: a node that
   * connects later does not hear of it.
   *
   * @returns how many are connected that can be told
   */
  async setHealth(said: SaidHealth): Promise<number> {
    const { db } = this.#options;
    const { rows } = await db.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM nodes n JOIN groups g ON g.id = n.group_id
       WHERE n.revoked_at IS NULL AND n.connected_to IS NOT NULL AND $1 = ANY(n.features)
         AND $2::uuid = ANY(g.workspaces)
         AND (n.connected_to = $3::uuid OR ${isAlive('n.connected_to')})`,
      [featureOf('target_health'), said.ws, this.#self],
    );
    const count = rows[0]?.count ?? 0;
    if (count > 0) await db.notify(HEALTH_CHANNEL, JSON.stringify(said));
    return count;
  }

  report(node: LiveNode, report: Report): void {
    if (report.type === 'health') {
      this.#health.take(node.id, report.frame);
      this.#wake();
    }
    if (applyReport(node, report, this.#options.clock.now())) {
      this.#acks.changed(node.groupId);
      this.#changed(node.groupId);
    }
    if (node.isDirty) this.#wake();
  }

  /** Whoever let it in wrote that it is connected here. */
  async pulled(nodeId: string): Promise<void> {
    if (this.#live.has(nodeId)) return;
    await this.#options.db.query(
      'UPDATE nodes SET connected_to = NULL WHERE id = $1 AND connected_to = $2',
      [nodeId, this.#self],
    );
  }

  /** For a node that is not connected: it pulled, and says what it made of it. */
  async reportPulled(nodeId: string, report: Report): Promise<void> {
    if (report.type !== 'applied' && report.type !== 'refused') return;
    const isApplied = report.type === 'applied';
    const { epoch, revision, hash } = cleanPosition(report.position);
    const refusal = isApplied ? null : report;
    const status = syncStatusOf({ position: report.position, refusal });
    const error = isApplied
      ? null
      : clean(`revision ${revision}: ${report.code} ${report.detail}`.slice(0, ERROR_LENGTH_MAX));
    await this.#options.db.query(
      `UPDATE nodes SET last_seen = now(), last_error = $2, sync_status = $8,
         epoch = CASE WHEN $3 THEN $4::bigint ELSE epoch END,
         revision = CASE WHEN $3 THEN $5::bigint ELSE revision END,
         hash = CASE WHEN $3 THEN $6 ELSE hash END,
         persisted = CASE WHEN $3 THEN $7 ELSE persisted END
       WHERE id = $1`,
      [nodeId, error, isApplied, epoch, revision, hash, isApplied && report.persisted, status],
    );
  }

  /** Only the session that is known ends it: a newer one may have taken over. */
  disconnected(node: LiveNode): void {
    if (this.#live.get(node.id) !== node) return;
    this.#live.delete(node.id);
    this.#gone.set(node.id, node);
    this.#acks.disconnected(node);
    this.#changed(node.groupId);
  }

  /** Nodes connected to this process. */
  get connectedCount(): number {
    return this.#live.size;
  }

  /** Writes what changed since; resolves when it is there. */
  async flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#write());
    await this.#flushing;
  }

  /**
   * Now and then: what control planes leave behind that died, and nodes that nobody has seen for long.
   *
   * @param db  may delete nodes, which whoever talks to them may not
   */
  async sweep(db: Db): Promise<void> {
    await sweepNodes(db, this.#self);
    await forgetStrays(db, this.#self, {
      count: this.#live.size,
      has: (id) => this.#live.has(id) || this.#gone.has(id),
    });
    await this.#health.forgetUnheard();
  }

  async close(): Promise<void> {
    for (const node of this.#live.values()) this.disconnected(node);
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.flush();
    await this.#acks.forget().catch((error: unknown) => this.#failed(error));
  }

  #changed(groupId: string): void {
    this.#wake();
    for (const listener of this.#listeners) listener(groupId);
  }

  /** Nothing is written when nothing changes, so that a database may sleep. */
  #wake(): void {
    if (this.#isClosed || this.#cancelTimer !== null) return;
    this.#cancelTimer = this.#options.clock.setTimer(FLUSH_MS, () => {
      this.#cancelTimer = null;
      void this.flush();
    });
  }

  async #write(): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    const changed = [...this.#live.values()].filter((node) => node.isDirty);
    const gone = [...this.#gone.values()];
    for (const node of changed) node.isDirty = false;
    this.#gone.clear();
    try {
      await this.#writeRows(changed, this.#self);
      const left = new Set(await this.#writeRows(gone, null));
      for (const node of gone) if (left.has(node.id)) this.#acks.left(node, nowMs);
      await this.#acks.write(nowMs);
      await this.#health.forget(gone.map(({ id }) => id));
      await this.#health.flush();
    } catch (error) {
      for (const node of changed) node.isDirty = true;
      for (const node of gone) if (!this.#live.has(node.id)) this.#gone.set(node.id, node);
      this.#failed(error);
      this.#wake();
    }
  }

  #failed(error: unknown): void {
    this.#options.logger.log('warn', 'node states not written', {
      error: error instanceof Error ? error.message : String(error),
    });
  }

  /**
   * A row that another process has taken over since is left alone when its node is gone here.
   *
   * @returns whose rows were written
   */
  async #writeRows(nodes: readonly LiveNode[], connectedTo: string | null): Promise<string[]> {
    const written: string[] = [];
    for (let start = 0; start < nodes.length; start += FLUSH_BATCH) {
      const batch = nodes
        .slice(start, start + FLUSH_BATCH)
        .map((node) => toRow(node, this.#options.clock.now()));
      const { rows } = await this.#options.db.query<{ id: string }>(
        `UPDATE nodes n SET epoch = r.epoch, revision = r.revision, hash = r.hash,
           sync_status = r.sync_status, persisted = r.persisted, last_error = r.last_error,
           quarantined = r.quarantined, cert_expiry = r.cert_expiry, connected_to = $2,
           last_seen = greatest(n.last_seen, now() - make_interval(secs => r.age))
         FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, epoch bigint, revision bigint,
           hash text, sync_status text, persisted boolean, last_error text, quarantined jsonb,
           cert_expiry bigint, age double precision)
         WHERE n.id = r.id AND ($2::uuid IS NOT NULL OR n.connected_to = $3::uuid)
         RETURNING n.id`,
        [JSON.stringify(batch), connectedTo, this.#self],
      );
      for (const { id } of rows) written.push(id);
    }
    return written;
  }
}

/** How long ago it was heard of, not when: the clocks of control planes differ, the database's counts. */
function toRow(node: LiveNode, nowMs: number): JsonObject {
  const { epoch, revision, hash } = cleanPosition(node.position);
  return {
    id: node.id,
    epoch,
    revision,
    hash,
    sync_status: syncStatusOf(node),
    persisted: node.persisted,
    last_error: node.lastError === null ? null : clean(node.lastError),
    quarantined: node.quarantined.map(({ kind, id, reason }) => ({
      kind: clean(kind),
      id: clean(id),
      reason: clean(reason).slice(0, REASON_LENGTH_MAX),
    })),
    cert_expiry: node.certificateExpiry,
    age: Math.max(0, nowMs - node.lastSeenMs) / 1000,
  };
}
