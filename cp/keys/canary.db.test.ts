import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silent } from '../store/context.suite.ts';
import type { Db } from '../store/db.ts';
import { openPglite } from '../store/drivers/pglite.ts';
import { CANARY, plant, plantedEntities, spellings } from './canary.suite.ts';
import { type ControlPlane, controlPlane, dumpOf, sweepAll } from './rotation.suite.ts';

describe('a dump of the database', () => {
  let db: Db;
  let plane: ControlPlane;
  const planted = plantedEntities();
  beforeAll(async () => {
    db = await openPglite(null, silent);
    plane = await controlPlane(db);
    await plant(plane, planted);
  });
  afterAll(() => db.close());

  it('is searched for every secret that there is', () => {
    expect(planted.places).toEqual(
      expect.arrayContaining([
        'certificates.key',
        'keyauth_credentials.key',
        'keys.pem',
        'vaults.config',
        'plugins/rate-limiting',
      ]),
    );
    expect(planted.places.length).toBeGreaterThan(20);
  });

  it('shows none of them, in any spelling, before and after the keys are rotated', async () => {
    const check = async () => {
      const dump = await dumpOf(db);
      expect(spellings().filter((spelling) => dump.includes(spelling))).toEqual([]);
    };
    await check();
    await plane.rotation.putInForce({ data: true, pepper: true });
    await sweepAll(plane);
    await check();
    const ws = plane.store.defaultWorkspace();
    for (const [definition, entity] of planted.entities) {
      const stored = await plane.store.get(definition, ws, entity.id);
      // What is not stored (`certificates.snis`) is missing in it.
      expect(entity).toMatchObject(stored ?? {});
      expect(stored).not.toBeNull();
    }
  });

  it('would show one that is there', async () => {
    for (const value of [`xx${CANARY}x`, Buffer.from(`12${CANARY}34`).toString('base64')]) {
      await db.query('INSERT INTO admin_log_canary VALUES ($1)', [value]).catch(async () => {
        await db.query('CREATE TABLE admin_log_canary (text text)');
        await db.query('INSERT INTO admin_log_canary VALUES ($1)', [value]);
      });
      const dump = await dumpOf(db);
      expect(spellings().some((spelling) => dump.includes(spelling))).toBe(true);
      await db.query('DROP TABLE admin_log_canary');
    }
  });
});
