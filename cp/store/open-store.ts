/** From settings to a store that works: database, schema, keys, defaults. */
import type { Logger } from '#shared/platform/platform.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { must } from '#shared/base/assert.ts';
import { Epochs, type MovedPolicy } from '../cluster/epochs.ts';
import type { Keks } from '../keys/kek.ts';
import { type Keyring, loadKeyring } from '../keys/keyring.ts';
import { ensureDefaults } from './bootstrap.ts';
import type { Db } from './db.ts';
import { migrate } from './migrate.ts';
import { type DatabaseSettings, openDatabase } from './open-database.ts';
import { createStore, type Store } from './store.ts';

export interface OpenStoreOptions extends Keks {
  readonly database: DatabaseSettings;
  /** Reads the key-encryption keys' settings again. */
  readonly rereadKek?: () => Keks;
  /** All definitions that are stored, in foreign-key order, and the plugins' shapes. */
  readonly registry: Registry;
  /** Where the root key of a new cluster is; given: there must be none yet. */
  readonly rootKeyFile?: string;
  /** `HEADGATE_DATABASE_MOVED`; default: stop. */
  readonly moved?: MovedPolicy;
  readonly logger: Logger;
}

export interface OpenedStore {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly epochs: Epochs;
}

/** @throws DatabaseSettingsError, DatabaseMovedError, MigrationError, KeyringError, LockedError, DbError */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  const db = await openDatabase(options.database, options.logger);
  try {
    return await openStoreOn(db, options);
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** The same over a database that is open already. */
export async function openStoreOn(db: Db, options: OpenStoreOptions): Promise<OpenedStore> {
  const { kek, registry, logger, database, previousKek = null, rereadKek, rootKeyFile } = options;
  await migrate(db, logger);
  const mayMakeKek = db.driver === 'pglite';
  const settings = {
    kek,
    previousKek,
    dataDir: database.dataDir,
    mayMakeKek,
    ...(rereadKek === undefined ? {} : { reread: rereadKek }),
    ...(rootKeyFile === undefined ? {} : { rootKeyFile }),
  };
  const keyring = await loadKeyring(db, settings, logger);
  const { dataDir } = database;
  const { moved: policy = 'stop' } = options;
  const epochs = new Epochs({ db, clusterId: keyring.clusterId, dataDir, policy, logger });
  await epochs.witness.load();
  // Before anything is written or published.
  await epochs.settle();
  const workspace = must(registry.entities.get('workspaces'), 'workspaces are stored');
  const group = registry.entities.get('clustering_groups') ?? null;
  const defaultWorkspace = await ensureDefaults(db, { workspace, group }, keyring.rows);
  const store = await createStore({ db, keys: keyring.rows, registry, logger, defaultWorkspace });
  return { store, keyring, epochs };
}
