/** A store on an embedded database in memory: migrated, with keys and defaults. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REGISTRY } from '#shared/registry.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { Epochs } from '../../cp/cluster/epochs.ts';
import type { Keyring } from '../../cp/keys/keyring.ts';
import { openPglite } from '../../cp/store/drivers/pglite.ts';
import { openStoreOn } from '../../cp/store/open-store.ts';
import type { Store } from '../../cp/store/store.ts';

export const silent: Logger = { log() {} };

export interface TestStore {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly epochs: Epochs;
  close(): Promise<void>;
}

/** Takes about two seconds: share one in a test file, with a workspace per test. */
export async function openTestStore(
  entities: ReadonlyMap<string, EntityDefinition>,
  plugins: Registry['plugins'] = REGISTRY.plugins,
): Promise<TestStore> {
  const dataDir = await mkdtemp(join(tmpdir(), 'headgate-store-'));
  const db = await openPglite(null, silent);
  const database = { url: null, driver: null, dataDir };
  const { store, keyring, epochs } = await openStoreOn(db, {
    database,
    kek: null,
    registry: { entities, plugins },
    logger: silent,
  });
  return {
    store,
    keyring,
    epochs,
    async close() {
      await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
