/** What the parts of the store's suite share. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#shared/base/assert.ts';
import { workspace } from '#shared/entities/workspace.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { EntityDefinition, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Db } from './db.ts';
import { openStoreOn } from './open-store.ts';
import { type Actor, type Store, StoreError, type StoreFailure } from './store.ts';

export interface SuiteDatabase {
  /** A handle of its own; on an embedded database the one handle there is. */
  open(): Promise<Db>;
  drop(): Promise<void>;
}

export interface SuiteOptions {
  readonly name: string;
  /** Makes an empty database. */
  create(): Promise<SuiteDatabase>;
  /** Several connections: transactions overlap, and other processes exist. */
  readonly isConcurrent: boolean;
}

export const KEK = Buffer.alloc(32, 7).toString('base64');
export const ACTOR: Actor = { name: 'tester', source: '127.0.0.1' };
export const silent: Logger = { log() {} };

/** A complete entity: every field of the definition, the given values or the defaults. */
export function entityOf(
  definition: EntityDefinition,
  values: Readonly<Record<string, JsonValue>> = {},
): AnyEntity {
  const fields = Object.entries(definition.fields).map(([field, attributes]) => [
    field,
    values[field] ?? attributes.default ?? null,
  ]);
  const expiry = definition.ttl === true ? { expires_at: values['expires_at'] ?? null } : {};
  const id = values['id'];
  return {
    ...Object.fromEntries(fields),
    ...expiry,
    id: typeof id === 'string' ? id : randomUUID(),
  };
}

/** What the store says when `work` fails. */
export async function failureOf(work: Promise<unknown>): Promise<StoreFailure> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof StoreError) return error.failure;
  throw new Error('expected a StoreError', { cause: error });
}

interface ChangeRow {
  readonly version: number;
  readonly position: number;
  readonly kind: string;
  readonly entity_id: string;
  readonly operation: string;
  readonly doc: { readonly id: string } | null;
}

export async function changesOf(db: Db, ws: string): Promise<ChangeRow[]> {
  const { rows } = await db.query<ChangeRow>(
    `SELECT version, position, kind, entity_id, operation, doc FROM changes
     WHERE ws_id = $1 ORDER BY version, position`,
    [ws],
  );
  return rows;
}

/** One store over one fresh database, shared by the tests of a suite. */
export class SuiteContext {
  readonly options: SuiteOptions;
  database: SuiteDatabase | null = null;
  #opened: { store: Store; keyring: Keyring } | null = null;
  #dataDir = '';

  constructor(options: SuiteOptions) {
    this.options = options;
  }

  get store(): Store {
    return must(this.#opened, 'started').store;
  }

  get keyring(): Keyring {
    return must(this.#opened, 'started').keyring;
  }

  async start(): Promise<void> {
    this.#dataDir = await mkdtemp(join(tmpdir(), 'headgate-suite-'));
    this.database = await this.options.create();
    this.#opened = await this.openStore();
  }

  async openStore(): Promise<{ store: Store; keyring: Keyring }> {
    const db = await must(this.database, 'a database').open();
    const database = { url: null, driver: null, dataDir: this.#dataDir };
    return openStoreOn(db, { database, kek: KEK, registry: REGISTRY, logger: silent });
  }

  async stop(): Promise<void> {
    await this.#opened?.store.close();
    await this.database?.drop();
    await rm(this.#dataDir, { recursive: true, force: true });
  }

  /** A workspace of its own keeps tests apart on one database. */
  async workspace(): Promise<string> {
    const entity = entityOf(workspace, { name: `w-${randomUUID()}` });
    await this.store.write(entity.id, ACTOR, (tx) => tx.insert(workspace, entity.id, entity));
    return entity.id;
  }

  insert(ws: string, definition: EntityDefinition, entity: AnyEntity): Promise<unknown> {
    return this.store.write(ws, ACTOR, (tx) => tx.insert(definition, ws, entity));
  }

  /** Inserts an entity of the given values and answers it. */
  async made(
    ws: string,
    definition: EntityDefinition,
    values: Readonly<Record<string, JsonValue>> = {},
  ): Promise<AnyEntity> {
    const entity = entityOf(definition, values);
    await this.insert(ws, definition, entity);
    return entity;
  }
}
