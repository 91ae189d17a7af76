import { afterAll, describe, it } from 'vitest';
import { startPostgres } from '../../test/support/postgres.ts';
import { openPg } from './drivers/pg.ts';
import { storeSuite } from './store.suite.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  describe.skip(postgres.missing, () => it('needs PostgreSQL', () => {}));
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
