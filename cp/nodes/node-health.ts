/**
 * What connected data planes say of their targets' health, kept in the database so that any control
 * plane can answer. Written when it changes, what came meanwhile together; forgotten with the node.
 */
import type { UpstreamReport, FrameOf } from '#shared/wire/frames.ts';
import type { Db } from '../store/db.ts';
import { clean } from './clean.ts';
import { isAlive } from './liveness.ts';

/** Upstreams kept per node, and that may wait to be written per node; of further ones, nothing is. */
export const NODE_UPSTREAMS_MAX = 10_000;
/** UTF-16 units of one node's reports, all together, give or take a batch. */
export const NODE_LENGTH_MAX = 32 * 1024 * 1024;
/** Characters of an Upstream's name, which is a host name: the database's index takes 2,704 bytes. */
export const NAME_LENGTH_MAX = 512;
/** Rows in one statement. */
const BATCH = 500;
/** Nodes that one answer tells of. */
export const NODES_MAX = 1000;

/** What one node says of an Upstream. */
export interface NodeReport {
  readonly node: string;
  readonly hostname: string;
  readonly report: UpstreamReport;
}

interface Pending {
  /** Nothing that is stored of the node counts any more. */
  isReset: boolean;
  /** By workspace and name; null: it is gone. */
  readonly rows: Map<string, Row>;
}

interface Row {
  readonly ws: string;
  readonly upstream: string;
  readonly report: UpstreamReport | null;
}

type NodeRow = Row & { readonly node: string };

export class NodeHealth {
  readonly #db: Db;
  readonly #lengthMax: number;
  #pending = new Map<string, Pending>();

  /** @param lengthMax  of one node's reports; another one than usual in tests only */
  constructor(db: Db, lengthMax = NODE_LENGTH_MAX) {
    this.#db = db;
    this.#lengthMax = lengthMax;
  }

  /** Of a connected node. */
  take(node: string, { reset, upstreams, gone }: FrameOf<'health'>): void {
    let pending = this.#pending.get(node);
    if (pending === undefined || reset) {
      pending = { isReset: reset, rows: new Map() };
      this.#pending.set(node, pending);
    }
    // One that went and came back is in both.
    for (const { ws, name } of gone) addRow(pending, ws, name, null);
    for (const report of upstreams) addRow(pending, report.ws, report.name, report);
  }

  /** Writes what came since. @throws DbError; it is tried again with the next call */
  async flush(): Promise<void> {
    if (this.#pending.size === 0) return;
    const taken = this.#pending;
    this.#pending = new Map();
    try {
      await this.#write(taken);
    } catch (error) {
      for (const [node, older] of taken) this.#putBack(node, older);
      throw error;
    }
  }

  /** Of nodes that are not connected to any control plane any more. */
  async forget(nodes: readonly string[]): Promise<void> {
    if (nodes.length === 0) return;
    for (const node of nodes) this.#pending.delete(node);
    await this.#db.query(
      `DELETE FROM node_health h USING nodes n
       WHERE n.id = h.node_id AND n.id = ANY($1::uuid[]) AND n.connected_to IS NULL`,
      [nodes],
    );
  }

  /** The same of all nodes: those of a control plane that died were told of by nobody. */
  async forgetUnheard(): Promise<void> {
    await this.#db.query(
      `DELETE FROM node_health h USING nodes n
       WHERE n.id = h.node_id AND n.connected_to IS NULL`,
    );
  }

  /** What all nodes say that are connected, and whose group serves the workspace. By node id. */
  async of(ws: string, upstream: string): Promise<NodeReport[]> {
    const { rows } = await this.#db.query<NodeReport>(
      `SELECT n.id AS node, n.hostname, h.report FROM node_health h
       JOIN nodes n ON n.id = h.node_id JOIN groups g ON g.id = n.group_id
       WHERE h.ws_id = $1 AND h.upstream = $2 AND n.revoked_at IS NULL
         AND ${isAlive('n.connected_to')}
         AND h.ws_id = ANY(g.workspaces)
       ORDER BY n.id LIMIT $3`,
      [ws, upstream, NODES_MAX],
    );
    return rows;
  }

  /** The number of statements goes by the number of rows, not of nodes. */
  async #write(taken: ReadonlyMap<string, Pending>): Promise<void> {
    const rows = [...taken].flatMap(([node, pending]) =>
      [...pending.rows.values()].map(({ ws, upstream, report }) => ({
        node,
        ws,
        upstream,
        report,
      })),
    );
    const reset = [...taken].filter(([, { isReset }]) => isReset).map(([node]) => node);
    const kept = rows.filter(({ report }) => report !== null);
    const gone = rows.filter(({ report }) => report === null);
    if (reset.length > 0) await this.#deleteOthers(reset, kept);
    for (const batch of batches(gone)) await this.#delete(batch);
    for (const batch of batches(kept)) await this.#upsert(batch);
  }

  async #deleteOthers(nodes: readonly string[], kept: readonly NodeRow[]): Promise<void> {
    const keys = kept.map(({ node, ws, upstream }) => ({ node, ws, upstream }));
    await this.#db.query(
      `DELETE FROM node_health h WHERE node_id = ANY($1::uuid[]) AND NOT EXISTS (
         SELECT FROM jsonb_to_recordset($2::jsonb) AS r(node uuid, ws uuid, upstream text)
         WHERE r.node = h.node_id AND r.ws = h.ws_id AND r.upstream = h.upstream)`,
      [nodes, JSON.stringify(keys)],
    );
  }

  async #delete(gone: readonly NodeRow[]): Promise<void> {
    await this.#db.query(
      `DELETE FROM node_health h
       USING jsonb_to_recordset($1::jsonb) AS r(node uuid, ws uuid, upstream text)
       WHERE h.node_id = r.node AND h.ws_id = r.ws AND h.upstream = r.upstream`,
      [JSON.stringify(gone)],
    );
  }

  /** What a node says of workspaces that its group does not serve is not its to say. */
  async #upsert(rows: readonly NodeRow[]): Promise<void> {
    const sized = rows.map(({ node, ws, upstream, report }) => {
      return { node, ws, upstream, report, length: JSON.stringify(report).length };
    });
    await this.#db.query(
      `WITH r AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::jsonb)
           AS r(node uuid, ws uuid, upstream text, report jsonb, length integer)),
         kept AS MATERIALIZED (SELECT node_id, count(*) AS rows, sum(length) AS length
           FROM node_health WHERE node_id IN (SELECT node FROM r) GROUP BY node_id)
       INSERT INTO node_health (ws_id, upstream, node_id, report, length)
       SELECT r.ws, r.upstream, n.id, r.report, r.length FROM r
       JOIN nodes n ON n.id = r.node JOIN groups g ON g.id = n.group_id
       LEFT JOIN kept ON kept.node_id = n.id
       LEFT JOIN node_health e ON e.node_id = n.id AND e.ws_id = r.ws AND e.upstream = r.upstream
       WHERE r.ws = ANY(g.workspaces)
         AND (e.node_id IS NOT NULL OR coalesce(kept.rows, 0) < $2)
         AND coalesce(kept.length, 0) - coalesce(e.length, 0) + r.length <= $3
       ON CONFLICT (ws_id, upstream, node_id)
       DO UPDATE SET report = excluded.report, length = excluded.length, changed_at = now()
       WHERE node_health.report IS DISTINCT FROM excluded.report`,
      [JSON.stringify(sized), NODE_UPSTREAMS_MAX, this.#lengthMax],
    );
  }

  #putBack(node: string, older: Pending): void {
    const newer = this.#pending.get(node);
    if (newer?.isReset === true) return;
    const merged: Pending = { isReset: older.isReset, rows: new Map(older.rows) };
    for (const [key, row] of newer?.rows ?? []) merged.rows.set(key, row);
    this.#pending.set(node, merged);
  }
}

function* batches(rows: readonly NodeRow[]): Generator<readonly NodeRow[]> {
  for (let start = 0; start < rows.length; start += BATCH) yield rows.slice(start, start + BATCH);
}

/** Of several spellings of a key one: a statement takes no row twice, and fails for all nodes together. */
function addRow(pending: Pending, id: string, name: string, report: UpstreamReport | null): void {
  const ws = id.toLowerCase();
  const upstream = clean(name);
  if (upstream.length > NAME_LENGTH_MAX) return;
  const key = `${ws}\n${upstream}`;
  if (!pending.rows.has(key) && pending.rows.size >= NODE_UPSTREAMS_MAX) return;
  pending.rows.set(key, { ws, upstream, report: report === null ? null : cleanReport(report) });
}

function cleanReport(report: UpstreamReport): UpstreamReport {
  return {
    ...report,
    name: clean(report.name),
    targets: report.targets.map((target) => ({
      ...target,
      target: clean(target.target),
      addresses: target.addresses.map((address) => ({ ...address, ip: clean(address.ip) })),
    })),
  };
}
