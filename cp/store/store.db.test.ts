import { openPglite } from './drivers/pglite.ts';
import { storeSuite } from './store.suite.ts';

storeSuite({
  name: 'PGlite',
  isConcurrent: false,
  async create() {
    const db = await openPglite(null, { log() {} });
    return { open: async () => db, drop: () => db.close() };
  },
});
