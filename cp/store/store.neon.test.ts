import { afterAll } from 'vitest';
import { startNeonBridge } from '../../test/support/neon-bridge.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { openNeon } from './drivers/neon.ts';
import { storeSuite } from './store.suite.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const bridge = await startNeonBridge(postgres.port);
  afterAll(async () => {
    await bridge.stop();
    await postgres.stop();
  });
  storeSuite({
    name: 'the Neon driver',
    isConcurrent: true,
    async create() {
      const url = await postgres.createDatabase();
      return {
        open: async () => openNeon({ url, isPooled: false, logger: { log() {} } }),
        drop: async () => {},
      };
    },
  });
}
