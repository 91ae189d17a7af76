/**
 * Published configurations as a data plane would compile them, to ask what would be done with a
 * request. Plugins are their definitions here: their code, and what is sealed, stays out.
 */
import { Assembly } from '#shared/config/assembly.ts';
import { readManifest, type Manifest } from '#shared/config/manifest.ts';
import type { Replica } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { PluginHandler, Runtime } from '#shared/plugins/plugin.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { RouterFlavor } from '#shared/settings/common.ts';
import { HealthRegistry } from '#shared/health/registry.ts';
import { buildTables } from '#shared/tables/build.ts';
import { phaseHandlers } from '#shared/tables/phase-handlers.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import type { Db } from '../store/db.ts';

/** Configurations kept, those asked for last. Each may be as large as a data plane's. */
export const TABLES_MAX = 4;
/** Callers that wait while others' configurations are read; more are sent away. */
export const WAITING_MAX = 16;
/** Nodes in one statement. */
const NODE_BATCH = 100;

/** What is asked for: the newest revision unless one is named. */
export interface Asked {
  /** Name of the group. */
  readonly group: string;
  readonly revision: number | null;
  readonly runtime: Runtime;
}

/** A revision that was published, and is still kept. */
export interface PublishedHead {
  readonly groupId: string;
  readonly hash: string;
  readonly manifest: Manifest;
}

export type TablesResult =
  | { readonly ok: true; readonly tables: Tables }
  | { readonly ok: false; readonly reason: 'busy' | 'gone' | 'refused'; readonly detail: string };

export interface GroupTablesOptions {
  readonly db: Db;
  readonly registry: Registry;
  readonly crypto: Crypto;
  readonly routerFlavor: RouterFlavor;
}

/** Of one group and runtime, the revision asked for last. */
interface Kept {
  readonly hash: string;
  readonly tables: Tables;
}

export class GroupTables {
  readonly #options: GroupTablesOptions;
  readonly #handlers: Readonly<Record<Runtime, ReadonlyMap<string, PluginHandler<unknown>>>>;
  /** By group and runtime, least recently used first. */
  readonly #kept = new Map<string, Kept>();
  /** One is built at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: GroupTablesOptions) {
    this.#options = options;
    const { plugins } = options.registry;
    this.#handlers = {
      node: phaseHandlers(plugins, 'node'),
      edge: phaseHandlers(plugins, 'edge'),
    };
  }

  /** Null: no such group, nothing was published for it, or that revision is no longer kept. */
  async find({ group, revision }: Asked): Promise<PublishedHead | null> {
    const { rows } = await this.#options.db.query<{ id: string; hash: string; manifest: string }>(
      `SELECT g.id, m.hash, m.manifest FROM groups g JOIN manifests m ON m.group_id = g.id
       WHERE g.name = $1 AND m.level = $2 AND ($3::bigint IS NULL OR m.revision = $3::bigint)
       ORDER BY m.epoch DESC, m.revision DESC LIMIT 1`,
      [group, SCHEMA_LEVEL, revision],
    );
    const [row] = rows;
    if (row === undefined) return null;
    // What a publisher of ours wrote.
    const read = readManifest(row.manifest);
    return read.ok ? { groupId: row.id, hash: row.hash, manifest: read.manifest } : null;
  }

  /** Costs what differs from the revision asked for before; one caller at a time. */
  async tables(head: PublishedHead, runtime: Runtime): Promise<TablesResult> {
    if (this.#waiting >= WAITING_MAX) {
      return { ok: false, reason: 'busy', detail: 'too many explanations are asked for' };
    }
    this.#waiting += 1;
    const result = this.#turn.then(() => this.#take(head, runtime));
    // Who comes next must not fail with this one.
    this.#turn = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #take(head: PublishedHead, runtime: Runtime): Promise<TablesResult> {
    const key = `${head.groupId} ${runtime}`;
    const kept = this.#kept.get(key);
    if (kept?.hash === head.hash) {
      this.#keep(key, kept);
      return { ok: true, tables: kept.tables };
    }
    const tree = await this.#treeOf(head, this.#nearest(head, runtime));
    if (tree === null) {
      return { ok: false, reason: 'gone', detail: 'this revision is no longer kept' };
    }
    const built = this.#build(head, tree, { runtime, before: kept?.tables ?? null });
    if (!built.ok) return { ok: false, reason: 'refused', detail: built.detail };
    this.#keep(key, { hash: head.hash, tables: built.tables });
    return { ok: true, tables: built.tables };
  }

  /** A tree of the same group that shares nodes; the other runtime's may be the very one. */
  #nearest({ groupId }: PublishedHead, runtime: Runtime): ConfigTree {
    const other = runtime === 'node' ? 'edge' : 'node';
    const kept = this.#kept.get(`${groupId} ${runtime}`) ?? this.#kept.get(`${groupId} ${other}`);
    return kept?.tables.tree ?? ConfigTree.empty(this.#options.crypto);
  }

  /** Null: nodes of it were swept. */
  async #treeOf(head: PublishedHead, base: ConfigTree): Promise<ConfigTree | null> {
    const { db, crypto } = this.#options;
    const assembly = new Assembly(head.manifest, base, crypto);
    while (!assembly.isSettled) {
      const ids = assembly.missing(NODE_BATCH);
      const { rows } = await db.query<{ id: string; text: string }>(
        `SELECT id, text FROM group_nodes
         WHERE group_id = $1 AND level = $2 AND id = ANY($3::text[])`,
        [head.groupId, head.manifest.level, ids],
      );
      if (rows.length < ids.length) return null;
      for (const { id, text } of rows) if (!assembly.add(id, text)) return null;
    }
    const assembled = assembly.finish();
    return assembled.ok ? assembled.tree : null;
  }

  #build(
    { manifest, hash }: PublishedHead,
    tree: ConfigTree,
    { runtime, before }: { readonly runtime: Runtime; readonly before: Tables | null },
  ): ReturnType<typeof buildTables> {
    const { registry, crypto, routerFlavor } = this.#options;
    const replica: Replica = {
      cluster: manifest.cluster,
      group: manifest.group,
      epoch: manifest.epoch,
      revision: manifest.revision,
      hash,
      secretGeneration: manifest.secret_generation,
      tree,
    };
    const deps = {
      handlers: this.#handlers[runtime],
      definitions: registry.plugins,
      runtime,
      crypto,
      routerFlavor,
      health: before === null ? new HealthRegistry() : before.parts.env.health,
      // Nothing is looked up by a secret here, and who has none would see its plugins closed.
      pepper: NO_PEPPER,
    };
    return buildTables(replica, deps, before);
  }

  #keep(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= TABLES_MAX) return;
      this.#kept.delete(oldest);
    }
  }
}

const NO_PEPPER = new Uint8Array(32);
