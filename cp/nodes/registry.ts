/**
 * The nodes: who may join, who is here, what each serves. Heartbeats are kept in memory; transitions
 * are written in batches, so that the number of statements does not grow with the number of nodes
 * (decision 9). Nothing a node says ends up anywhere but in its own row.
 */
import type { Clock, Logger, Random } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { msOf, type Period } from '../cluster/pace.ts';
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
import { applyReport, type LiveNode } from './live-node.ts';
import { NodeHealth, type NodeReport } from './node-health.ts';
import { nodeView, type NodeRow } from './node-view.ts';

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

/** Nodes listed at once. */
export const LISTED_MAX = 10_000;

/** Changes of a node's state are written this often, and heartbeats this rarely. */
const FLUSH_INTERVAL_MS = 2_000;
export const HEARTBEAT_INTERVAL_MS = 30_000;
/** Rows in one statement. */
const FLUSH_BATCH = 1_000;

export interface RegistryOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How often a node that says nothing new is written all the same; default: every 30 s. */
  readonly heartbeatMs?: Period;
}

export class NodeRegistry {
  readonly #options: RegistryOptions;
  /** Names this process in rows: a node's session here must not be cleared by another process. */
  readonly #self: string;
  readonly #live = new Map<string, LiveNode>();
  /** Gone, and not yet written. */
  readonly #gone = new Map<string, LiveNode>();
  readonly #health: NodeHealth;
  #heartbeatMs = 0;
  #cancelTimer: () => void = () => {};
  #flushing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#self = options.random.uuid();
    this.#health = new NodeHealth(options.db);
    this.#schedule();
  }

  /** Id of this control plane's process, as in `nodes.connected_to`. */
  get self(): string {
    return this.#self;
  }

  /** All nodes that may connect, oldest first, as `/clustering/data-planes` shows them. */
  async list(): Promise<JsonObject[]> {
    const { rows } = await this.#options.db.query<NodeRow>(
      `SELECT n.id, n.group_id, g.name AS group_name, n.hostname, n.version, n.runtime, n.labels,
         n.ip, n.alert, n.locked_at IS NOT NULL AS is_locked, n.epoch, n.revision, n.hash,
         n.persisted, n.last_error, n.connected_to,
         floor(extract(epoch FROM n.created_at))::bigint AS created_at,
         floor(extract(epoch FROM n.last_seen))::bigint AS last_seen,
         g.revision AS desired_revision, floor(extract(epoch FROM now()))::bigint AS now
       FROM nodes n JOIN groups g ON g.id = n.group_id
       WHERE n.revoked_at IS NULL ORDER BY n.created_at, n.id LIMIT $1`,
      [LISTED_MAX],
    );
    return rows.map((row) => nodeView(row, this.#live.get(row.id) ?? null, this.#self));
  }

  /** Its row was written by whoever admitted it; from here on it is in memory. */
  connected(
    node: Pick<LiveNode, 'id' | 'groupId' | 'ip' | 'about' | 'level' | 'position'>,
  ): LiveNode {
    const nowMs = this.#options.clock.now();
    const live: LiveNode = {
      ...node,
      persisted: null,
      lastError: null,
      lastSeenMs: nowMs,
      updatedMs: nowMs,
      isDirty: true,
    };
    this.#live.set(node.id, live);
    this.#gone.delete(node.id);
    return live;
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
         AND $2::uuid = ANY(g.workspaces)`,
      [featureOf('target_health'), said.ws],
    );
    const count = rows[0]?.count ?? 0;
    if (count > 0) await db.notify(HEALTH_CHANNEL, JSON.stringify(said));
    return count;
  }

  report(node: LiveNode, report: Report): void {
    if (report.type === 'health') this.#health.take(node.id, report.frame);
    applyReport(node, report, this.#options.clock.now());
  }

  /** For a node that is not connected: it pulled, and says what it made of it. */
  async reportPulled(nodeId: string, report: Report): Promise<void> {
    if (report.type !== 'applied' && report.type !== 'refused') return;
    const isApplied = report.type === 'applied';
    const { epoch, revision, hash } = cleanPosition(report.position);
    const error = isApplied ? null : clean(`revision ${revision}: ${report.code} ${report.detail}`);
    await this.#options.db.query(
      `UPDATE nodes SET last_seen = now(), last_error = $2,
         epoch = CASE WHEN $3 THEN $4::bigint ELSE epoch END,
         revision = CASE WHEN $3 THEN $5::bigint ELSE revision END,
         hash = CASE WHEN $3 THEN $6 ELSE hash END,
         persisted = CASE WHEN $3 THEN $7 ELSE persisted END
       WHERE id = $1`,
      [nodeId, error, isApplied, epoch, revision, hash, isApplied && report.persisted],
    );
  }

  /** Only the session that is known ends it: a newer one may have taken over. */
  disconnected(node: LiveNode): void {
    if (this.#live.get(node.id) !== node) return;
    this.#live.delete(node.id);
    this.#gone.set(node.id, node);
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

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer();
    for (const node of this.#live.values()) this.#gone.set(node.id, node);
    this.#live.clear();
    await this.flush();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#cancelTimer = this.#options.clock.setTimer(FLUSH_INTERVAL_MS, () => {
      void this.flush().finally(() => this.#schedule());
    });
  }

  async #write(): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    const heartbeatMs = msOf(this.#options.heartbeatMs ?? HEARTBEAT_INTERVAL_MS);
    const isHeartbeat = nowMs - this.#heartbeatMs >= heartbeatMs;
    if (isHeartbeat) this.#heartbeatMs = nowMs;
    const changed = [...this.#live.values()].filter((node) => isHeartbeat || node.isDirty);
    const gone = [...this.#gone.values()];
    for (const node of changed) node.isDirty = false;
    this.#gone.clear();
    try {
      await this.#writeRows(changed, this.#self);
      await this.#writeRows(gone, null);
      await this.#health.forget(gone.map(({ id }) => id));
      await this.#health.flush();
      if (isHeartbeat) await this.#health.forget('unheard');
    } catch (error) {
      for (const node of changed) node.isDirty = true;
      for (const node of gone) if (!this.#live.has(node.id)) this.#gone.set(node.id, node);
      this.#options.logger.log('warn', 'node states not written', {
        error: error instanceof Error ? error.message : String(error),
      });
    }
  }

  /** A row that another process has taken over since is left alone when its node is gone here. */
  async #writeRows(nodes: readonly LiveNode[], connectedTo: string | null): Promise<void> {
    for (let start = 0; start < nodes.length; start += FLUSH_BATCH) {
      const batch = nodes
        .slice(start, start + FLUSH_BATCH)
        .map((node) => toRow(node, this.#options.clock.now()));
      await this.#options.db.query(
        `UPDATE nodes n SET epoch = r.epoch, revision = r.revision, hash = r.hash,
           sync_status = CASE WHEN r.hash = '' THEN 'unknown' ELSE 'normal' END,
           persisted = r.persisted, last_error = r.last_error, connected_to = $2,
           last_seen = greatest(n.last_seen, now() - make_interval(secs => r.age))
         FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, epoch bigint, revision bigint,
           hash text, persisted boolean, last_error text, age double precision)
         WHERE n.id = r.id AND ($2::uuid IS NOT NULL OR n.connected_to = $3::uuid)`,
        [JSON.stringify(batch), connectedTo, this.#self],
      );
    }
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
    persisted: node.persisted,
    last_error: node.lastError === null ? null : clean(node.lastError),
    age: Math.max(0, nowMs - node.lastSeenMs) / 1000,
  };
}
