import { afterAll } from 'vitest';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { openPg } from './drivers/pg.ts';
import { storeSuite } from './store.suite.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  afterAll(() => postgres.stop());
  storeSuite({
    name: 'PostgreSQL',
    isConcurrent: true,
    async create() {
      const url = await postgres.createDatabase();
      return {
        open: async () => openPg({ url, isPooled: false, logger: { log() {} } }),
        drop: async () => {},
      };
    },
  });
}
