/** A control plane's database side over a PostgreSQL server: connections, keys and store of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REGISTRY } from '#shared/registry.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { MovedPolicy } from '../../cp/cluster/epochs.ts';
import { openPg } from '../../cp/store/drivers/pg.ts';
import { openStoreOn } from '../../cp/store/open-store.ts';
import { silent, type TestStore } from './pglite.ts';

/** Of every cluster made here. */
export const TEST_KEK = Buffer.alloc(32, 7).toString('base64');

export interface PgStoreOptions {
  readonly logger?: Logger;
  /** Kept when closed; not given: one of its own. */
  readonly dataDir?: string;
  readonly moved?: MovedPolicy;
}

export async function openPgStore(url: string, options: PgStoreOptions = {}): Promise<TestStore> {
  const { logger = silent, moved = 'stop' } = options;
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'headgate-store-')));
  const db = openPg({ url, isPooled: false, logger });
  const database = { url, driver: null, dataDir };
  const opened = await openStoreOn(db, {
    database,
    kek: TEST_KEK,
    registry: REGISTRY,
    moved,
    logger,
  }).catch(async (error: unknown) => {
    await db.close();
    throw error;
  });
  return {
    ...opened,
    async close() {
      await opened.epochs.close();
      await opened.store.close();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}
