/**
 * What the hub keeps in its own SQLite: the node's identity, the head, and the tree's nodes.
 *
 * A node is one immutable text under its hash, cut into rows because a row holds 2 MB at most. What
 * the head no longer needs stays for a while: an isolate may still be reading the state before.
 */
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import type { TextPlace } from '#shared/sync/breaker.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';

/** UTF-16 units per row: at most 3 bytes each, and 2 MB is the limit of a row. */
const PART_LENGTH_MAX = 500_000;
/** A statement takes at most 100 parameters. */
const PARAMETERS_MAX = 100;
/** How long a node stays after the head stopped needing it (decision 7). */
export const RETENTION_MS = 24 * 3600 * 1000;
/** Nodes swept at a time. */
export const SWEEP_COUNT_MAX = 200;

export interface TreeNode {
  readonly id: string;
  readonly text: string;
}

export class HubStore implements ConfigStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)`);
    this.#sql.exec(
      `CREATE TABLE IF NOT EXISTS nodes (
         id TEXT NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
         PRIMARY KEY (id, part)
       ) WITHOUT ROWID`,
    );
    // `dropped_at` null: the head needs it. `in_kv`: written there, so it must be swept there too.
    this.#sql.exec(
      `CREATE TABLE IF NOT EXISTS node_states (
         id TEXT PRIMARY KEY, dropped_at INTEGER, in_kv INTEGER NOT NULL DEFAULT 0
       ) WITHOUT ROWID`,
    );
  }

  getMeta(name: string): string | null {
    const [row] = this.#sql.exec('SELECT value FROM meta WHERE name = ?', name).toArray();
    return typeof row?.['value'] === 'string' ? row['value'] : null;
  }

  setMeta(name: string, value: string): void {
    this.#sql.exec('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)', name, value);
  }

  /** A text that is there to stay once it was written, whatever becomes of the object. */
  place(name: string): TextPlace {
    return {
      read: async () => this.getMeta(name),
      write: async (text) => {
        this.setMeta(name, text);
        await this.#storage.sync();
      },
    };
  }

  /** The head, without its nodes. */
  head(): SignedManifest | null {
    const text = this.getMeta('head');
    // Written by `saveHead` only, and verified again by whoever uses it.
    return text === null ? null : (JSON.parse(text) as SignedManifest);
  }

  /** Everything the head needs; unverified, as stored. */
  async load(): Promise<StoredConfig | null> {
    const head = this.head();
    if (head === null) return null;
    const nodes = new Map<string, string>();
    const rows = this.#sql.exec(
      `SELECT n.id AS id, n.text AS text FROM nodes n JOIN node_states s ON s.id = n.id
       WHERE s.dropped_at IS NULL ORDER BY n.id, n.part`,
    );
    for (const row of rows) {
      const id = String(row['id']);
      nodes.set(id, (nodes.get(id) ?? '') + String(row['text']));
    }
    return {
      manifest: head.manifest,
      signature: head.signature,
      keyList: head.key_list,
      keyListSignature: head.key_list_signature,
      nodes,
    };
  }

  /** Costs what changed: a node that is there already is known by its hash, and not read. */
  async save(config: StoredConfig): Promise<void> {
    const rows = this.#sql.exec('SELECT id FROM node_states WHERE dropped_at IS NULL').toArray();
    const live = new Set(rows.map((row) => String(row['id'])));
    const dropped = [...live].filter((id) => !config.nodes.has(id));
    const added: TreeNode[] = [];
    for (const id of config.nodes.keys()) {
      const text = live.has(id) ? undefined : config.nodes.get(id);
      if (text !== undefined) added.push({ id, text });
    }
    const head = {
      manifest: config.manifest,
      signature: config.signature,
      key_list: config.keyList,
      key_list_signature: config.keyListSignature,
    };
    this.saveHead(head, added, dropped, Date.now());
  }

  /** Makes `head` the state, whole or not at all. */
  saveHead(
    head: SignedManifest,
    added: Iterable<TreeNode>,
    dropped: Iterable<string>,
    nowMs: number,
  ): void {
    this.#storage.transactionSync(() => {
      for (const id of dropped) {
        this.#sql.exec('UPDATE node_states SET dropped_at = ? WHERE id = ?', nowMs, id);
      }
      for (const node of added) this.#addNode(node);
      this.setMeta('head', JSON.stringify(head));
    });
  }

  /** Texts of the nodes that are there, in no order; stops before the answer grows too long. */
  nodes(ids: readonly string[], lengthMax: number): TreeNode[] {
    const found: TreeNode[] = [];
    let length = 0;
    for (const id of ids) {
      const rows = this.#sql.exec('SELECT text FROM nodes WHERE id = ? ORDER BY part', id);
      const text = rows
        .toArray()
        .map((row) => String(row['text']))
        .join('');
      if (text === '') continue;
      if (found.length > 0 && length + text.length > lengthMax) break;
      found.push({ id, text });
      length += text.length;
    }
    return found;
  }

  /** Nodes of the head that KV has not got yet. */
  notInKv(countMax: number): string[] {
    const rows = this.#sql.exec(
      'SELECT id FROM node_states WHERE in_kv = 0 AND dropped_at IS NULL LIMIT ?',
      countMax,
    );
    return rows.toArray().map((row) => String(row['id']));
  }

  markInKv(ids: readonly string[]): void {
    this.#inBatches(ids, (marks, batch) => {
      this.#sql.exec(`UPDATE node_states SET in_kv = 1 WHERE id IN (${marks})`, ...batch);
    });
  }

  /** Forgets what KV is said to hold: it was emptied or exchanged. */
  forgetKv(): void {
    this.#sql.exec('UPDATE node_states SET in_kv = 0');
  }

  /** Nodes that nobody can need any more, and whether KV has them. */
  expired(nowMs: number): { id: string; inKv: boolean }[] {
    const rows = this.#sql.exec(
      'SELECT id, in_kv FROM node_states WHERE dropped_at < ? LIMIT ?',
      nowMs - RETENTION_MS,
      SWEEP_COUNT_MAX,
    );
    return rows.toArray().map((row) => ({ id: String(row['id']), inKv: row['in_kv'] === 1 }));
  }

  /** Removes what was swept. What has come back meanwhile stays, to be written to KV again. */
  removeExpired(ids: readonly string[]): void {
    this.#storage.transactionSync(() => {
      this.#inBatches(ids, (marks, batch) => {
        this.#sql.exec(`UPDATE node_states SET in_kv = 0 WHERE id IN (${marks})`, ...batch);
        const gone = `SELECT id FROM node_states WHERE id IN (${marks}) AND dropped_at IS NOT NULL`;
        this.#sql.exec(`DELETE FROM nodes WHERE id IN (${gone})`, ...batch);
        this.#sql.exec(
          `DELETE FROM node_states WHERE id IN (${marks}) AND dropped_at IS NOT NULL`,
          ...batch,
        );
      });
    });
  }

  #addNode(node: TreeNode): void {
    // A node may come back: a rollback publishes old content under a new revision.
    this.#sql.exec(
      `INSERT INTO node_states (id, dropped_at) VALUES (?, NULL)
       ON CONFLICT (id) DO UPDATE SET dropped_at = NULL`,
      node.id,
    );
    const parts = partsOf(node.text);
    this.#sql.exec('DELETE FROM nodes WHERE id = ? AND part >= ?', node.id, parts.length);
    for (const [part, text] of parts.entries()) {
      this.#sql.exec(
        'INSERT OR REPLACE INTO nodes (id, part, text) VALUES (?, ?, ?)',
        node.id,
        part,
        text,
      );
    }
  }

  #inBatches(ids: readonly string[], work: (marks: string, batch: string[]) => void): void {
    for (let i = 0; i < ids.length; i += PARAMETERS_MAX) {
      const batch = ids.slice(i, i + PARAMETERS_MAX);
      work(batch.map(() => '?').join(', '), batch);
    }
  }
}

/** Never between the halves of a surrogate pair, which SQLite would not keep. */
export function partsOf(text: string, lengthMax: number = PART_LENGTH_MAX): string[] {
  const parts: string[] = [];
  let start = 0;
  while (start < text.length) {
    let end = Math.min(start + lengthMax, text.length);
    if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}
