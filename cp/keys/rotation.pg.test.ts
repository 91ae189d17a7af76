/** Two control planes on one server, both written through while all keys are changed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { ACTOR, silent } from '../store/context.suite.ts';
import type { Db } from '../store/db.ts';
import { openPg } from '../store/drivers/pg.ts';
import { StoreError } from '../store/store.ts';
import {
  type ControlPlane,
  controlPlane,
  credentialOf,
  find,
  insertCredential,
  insertOwner,
  mintToken,
  NEW_KEK,
  OLD_KEK,
  sealedBytes,
  sweepAll,
} from './rotation.suite.ts';

const postgres = await startPostgres();
/** Writers through each control plane. */
const WRITERS = 4;
const ROTATIONS = 4;
const SEEDED = 3_000;

interface Load {
  /** Values that were inserted, and by which entity. */
  readonly written: Map<string, AnyEntity>;
  refused: number;
  stop(): Promise<void>;
}

/** Every value is tried by two writers, one through each: exactly one of them must get it. */
function load(planes: readonly ControlPlane[], owner: AnyEntity): Load {
  const state = { isOver: false, refused: 0 };
  const written = new Map<string, AnyEntity>();
  const write = async (plane: ControlPlane, writer: number): Promise<void> => {
    for (let round = 0; !state.isOver; round += 1) {
      const value = `load-${writer}-${round}`;
      const credential = credentialOf(owner, value);
      try {
        await insertCredential(plane, credential);
        expect(written.has(value)).toBe(false);
        written.set(value, credential);
      } catch (error) {
        if (!(error instanceof StoreError) || error.failure.code !== 'unique') throw error;
        state.refused += 1;
      }
      expect(await find(plane, value)).not.toBeNull();
      const { store } = plane;
      const ws = store.defaultWorkspace();
      const own = written.get(value);
      if (round % 5 !== 0 || own?.id !== credential.id) continue;
      const changed = { ...credential, tags: [`t${round}`] };
      await store.write(ws, ACTOR, (tx) => tx.update(keyauthCredential, ws, changed));
      written.set(value, changed);
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    planes.map((plane) => write(plane, writer)),
  );
  const all = Promise.all(writers.flat());
  // Whoever fails ends it for all, and is told at the end.
  all.catch(() => {
    state.isOver = true;
  });
  return Object.assign(state, {
    written,
    stop: async () => {
      state.isOver = true;
      await all;
    },
  });
}

function suite(createDatabase: () => Promise<string>): void {
  let url: string;
  const opened: Db[] = [];
  const open = (): Db => {
    const db = openPg({ url, isPooled: false, logger: silent });
    opened.push(db);
    return db;
  };
  beforeAll(async () => {
    url = await createDatabase();
  });
  afterAll(() => Promise.all(opened.map((db) => db.close())));

  it('fails nobody, keeps values unique, and leaves nothing of the old keys', async () => {
    const [one, two] = [await controlPlane(open()), await controlPlane(open())];
    const ws = one.store.defaultWorkspace();
    const owner = await insertOwner(one);
    const seeded = Array.from({ length: SEEDED }, (_, index) => credentialOf(owner, `s${index}`));
    await one.store.write(ws, ACTOR, (tx) => tx.insertMany(keyauthCredential, ws, seeded));
    await mintToken(one);
    const running = load([one, two], owner);
    const planes = [one, two];
    for (let round = 0; round < ROTATIONS; round += 1) {
      const plane = planes[round % 2] ?? one;
      const other = planes[(round + 1) % 2] ?? two;
      if (round === 1) {
        one.keks = { kek: NEW_KEK, previousKek: null };
        two.keks = { kek: NEW_KEK, previousKek: OLD_KEK };
        await plane.rotation.putInForce({ kek: true });
      }
      const before = running.written.size;
      await plane.rotation.rotateKeys({ data: true, pepper: true });
      await Promise.all([sweepAll(plane), sweepAll(other)]);
      // Clients got on meanwhile.
      expect(running.written.size).toBeGreaterThan(before);
    }
    await running.stop();

    const { db } = one.store;
    const generation = Buffer.from([0, 0, 0, ROTATIONS + 1]).toString('hex');
    const bytes = await sealedBytes(db);
    const isNew = new RegExp(`^(02)?${generation}`);
    expect(bytes.filter((text) => !isNew.test(text))).toEqual([]);
    expect(bytes.length).toBeGreaterThan(3 * SEEDED);
    const kept = await db.query('SELECT kind, generation FROM cluster_keys ORDER BY kind');
    expect(kept.rows).toEqual([
      { kind: 'data', generation: ROTATIONS + 1 },
      { kind: 'pepper', generation: ROTATIONS + 1 },
    ]);
    expect(running.refused).toBeGreaterThan(0);
    const all = seeded.map((entity): [string, AnyEntity] => [String(entity['key']), entity]);
    const expected = new Map([...all, ...running.written]);
    const values = [...expected.keys()];
    expect(await two.store.getManyBy(keyauthCredential, ws, 'key', values)).toEqual(expected);
    const stored = await db.query(
      'SELECT count(*), count(DISTINCT key_index) AS indexes FROM keyauth_credentials',
    );
    expect(stored.rows).toEqual([{ count: expected.size, indexes: expected.size }]);
    // Versions have no gap: no aborted attempt took one.
    const versions = await db.query(
      'SELECT max(version) - count(DISTINCT version) AS missing FROM changes WHERE ws_id = $1',
      [ws],
    );
    expect(versions.rows).toEqual([{ missing: 0 }]);
    await expect(controlPlane(open())).rejects.toThrow('HEADGATE_KEK: not the key-encryption key');
    await controlPlane(open(), { kek: NEW_KEK, previousKek: null });
  }, 120_000);
}

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  afterAll(() => postgres.stop());
  describe('a rotation of the keys while clients write through two control planes', () =>
    suite(() => postgres.createDatabase()));
}
