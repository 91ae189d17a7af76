import { afterAll } from 'vitest';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { controlPlane } from '../keys/rotation.suite.ts';
import { silent } from '../store/context.suite.ts';
import { openPg } from '../store/drivers/pg.ts';
import { nodeHealthSuite } from './node-health.suite.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  afterAll(() => postgres.stop());

  nodeHealthSuite(async () => {
    const url = await postgres.createDatabase();
    const opened = await controlPlane(openPg({ url, isPooled: false, logger: silent }));
    return { ...opened, close: () => opened.store.close() };
  });
}
