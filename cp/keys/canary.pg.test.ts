import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { silent } from '../store/context.suite.ts';
import { openPg } from '../store/drivers/pg.ts';
import { plant, plantedEntities, spellings } from './canary.suite.ts';
import { controlPlane } from './rotation.suite.ts';

const postgres = await startPostgres();
const DUMP_BYTES_MAX = 256 * 1024 * 1024;

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  afterAll(() => postgres.stop());

  describe('what pg_dump writes', () => {
    it('holds no secret in any spelling', async () => {
      const url = await postgres.createDatabase();
      const db = openPg({ url, isPooled: false, logger: silent });
      const planted = plantedEntities();
      await plant(await controlPlane(db), planted);
      await db.close();
      const options = { maxBuffer: DUMP_BYTES_MAX };
      const { stdout } = await promisify(execFile)('pg_dump', [url], options);

      for (const [, { id }] of planted.entities) expect(stdout).toContain(id);
      expect(spellings().filter((spelling) => stdout.includes(spelling))).toEqual([]);
    });
  });
}
