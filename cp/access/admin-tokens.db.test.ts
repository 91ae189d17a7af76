import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import type { Clock } from '#shared/platform/platform.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import type { Db } from '../store/db.ts';
import { StoreError } from '../store/errors.ts';
import {
  AdminTokens,
  CACHE_MS,
  type NewToken,
  RELOAD_MS,
  TOKENS_MAX,
  WAITING_MAX,
} from './admin-tokens.ts';
import { ALL_SCOPES } from './scopes.ts';

const ACTOR = { name: 'tester', source: null };

let test: TestStore;
let db: Db;
let here: AdminTokens;
const opened: AdminTokens[] = [];
let count = 0;

beforeAll(async () => {
  test = await openTestStore(REGISTRY.entities);
  ({ db } = test.store);
  here = await tokens(nodeClock);
});
afterAll(async () => {
  await Promise.all(opened.map((each) => each.close()));
  await test?.close();
});

/** Those of a control plane. @param isDeaf  it hears no notification, as behind a pooler */
async function tokens(clock: Clock, isDeaf = false): Promise<AdminTokens> {
  const made = new AdminTokens({ db, clock, logger: silent });
  if (!isDeaf) await made.start();
  opened.push(made);
  return made;
}

async function make(values: { expiresAt?: number } = {}): Promise<NewToken> {
  const { expiresAt = null } = values;
  const name = `token-${count++}`;
  const made = await here.create({ name, scopes: ALL_SCOPES, expiresAt }, ACTOR);
  if (made === null) throw new Error('there is room');
  return made;
}

describe('a named token', () => {
  it('lets its holder in, and nobody who has only part of it', async () => {
    const { token, name, id } = await make();
    expect(token).toMatch(/^hga_[0-9a-f]{16}_[\w-]{43}$/);
    expect(await here.verify(token)).toEqual({ id, name, scopes: ALL_SCOPES });
    const wrong = token.endsWith('A') ? 'B' : 'A';
    for (const text of ['', id, token.slice(0, -1), `${token}A`, `hga_${id}_${'A'.repeat(43)}`]) {
      expect(await here.verify(text), text).toBe(null);
    }
    expect(await here.verify(token.slice(0, -2) + wrong + token.slice(-1))).toBe(null);
  });

  it('stands nowhere in the database', async () => {
    const { token, name, id } = await make();
    const { rows } = await db.query<{ row: string; digest: Uint8Array }>(
      'SELECT t::text AS row, digest FROM admin_tokens t WHERE name = $1',
      [name],
    );
    const secret = token.slice(-43);
    const raw = Buffer.from(secret, 'base64url');
    expect(rows[0]?.row).toContain(id);
    expect(rows[0]?.row).not.toContain(secret);
    expect(rows[0]?.row).not.toContain(raw.toString('hex'));
    expect(rows[0]?.digest).toHaveLength(32);
  });

  it('has a name of its own', async () => {
    const { name } = await make();
    const again = here.create({ name, scopes: ALL_SCOPES, expiresAt: null }, ACTOR);
    const failure = await again.catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoreError);
    expect(failure).toMatchObject({ failure: { code: 'unique', fields: { name } } });
  });

  it('works until it expires', async () => {
    const { token } = await make({ expiresAt: Math.floor(Date.now() / 1000) + 2 });
    expect(await here.verify(token)).not.toBe(null);
    await expect.poll(() => here.verify(token), { timeout: 5_000 }).toBe(null);
  });

  it('is one of a bounded number', async () => {
    await db.query(
      `INSERT INTO admin_tokens (id, name, digest, scopes, created_by)
       SELECT 'filler-' || n, 'filler-' || n, '\\x00', '{}', 'tester'
       FROM generate_series(1, $1::integer - (SELECT count(*)::integer FROM admin_tokens)) n`,
      [TOKENS_MAX],
    );
    const request = { name: 'one-more', scopes: ALL_SCOPES, expiresAt: null };
    expect(await here.create(request, ACTOR)).toBe(null);
    await db.query(`DELETE FROM admin_tokens WHERE id = 'filler-1'`);
    expect(await here.create(request, ACTOR)).not.toBe(null);
    expect(await here.list()).toHaveLength(TOKENS_MAX);
    await db.query(`DELETE FROM admin_tokens WHERE id LIKE 'filler-%'`);
  });

  it('is known to have been used', async () => {
    const { token, name, last_used_at: before } = await make();
    expect(before).toBe(null);
    await here.verify(token);
    await expect
      .poll(async () => (await here.get(name))?.last_used_at)
      .toBeGreaterThan(Date.now() / 1000 - 60);
  });
});

describe('a rotated token', () => {
  it('works with its old secret for the overlap, and no longer', async () => {
    const { token: old, name } = await make();
    const rotated = await here.rotate(name, 2, ACTOR);
    expect(rotated?.token).not.toBe(old);
    expect(await here.verify(rotated?.token ?? '')).toMatchObject({ name });
    expect(await here.verify(old)).toMatchObject({ name });
    await expect.poll(() => here.verify(old), { timeout: 5_000 }).toBe(null);
    expect(await here.verify(rotated?.token ?? '')).toMatchObject({ name });
  });

  it('works with the new one alone when there is no overlap', async () => {
    const { token: old, name } = await make();
    const rotated = await here.rotate(name, 0, ACTOR);
    expect(await here.verify(old)).toBe(null);
    expect(await here.verify(rotated?.token ?? '')).toMatchObject({ name });
  });

  it('forgets all secrets but two', async () => {
    const { token: first, name } = await make();
    const second = await here.rotate(name, 300, ACTOR);
    await here.rotate(name, 300, ACTOR);
    expect(await here.verify(first)).toBe(null);
    expect(await here.verify(second?.token ?? '')).toMatchObject({ name });
  });

  it('has not expired, or it is not rotated', async () => {
    const { name } = await make({ expiresAt: 1 });
    expect(await here.rotate(name, 300, ACTOR)).toBe(null);
    expect(await here.rotate('nobody', 300, ACTOR)).toBe(null);
  });
});

describe('a revoked token', () => {
  it('is refused at once where it was revoked', async () => {
    const { token, name } = await make();
    expect(await here.verify(token)).not.toBe(null);
    expect(await here.remove(name, ACTOR)).toBe(true);
    expect(await here.verify(token)).toBe(null);
    expect(await here.remove(name, ACTOR)).toBe(false);
  });

  it('is so without a word, and without time passing', async () => {
    const alone = await tokens(new FakeClock(), true);
    const made = await alone.create({ name: 'alone', scopes: ALL_SCOPES, expiresAt: null }, ACTOR);
    expect(await alone.verify(made?.token ?? '')).toMatchObject({ name: 'alone' });
    await alone.remove('alone', ACTOR);
    expect(await alone.verify(made?.token ?? '')).toBe(null);
  });

  it('is refused elsewhere as soon as the word gets there', async () => {
    // Its clock stands still: nothing but the notification can make it look again.
    const there = await tokens(new FakeClock());
    const { token, name } = await make();
    expect(await there.verify(token)).not.toBe(null);
    await here.remove(name, ACTOR);
    await expect.poll(() => there.verify(token)).toBe(null);
  });

  it('is refused within two seconds where no word gets', async () => {
    const clock = new FakeClock();
    const there = await tokens(clock, true);
    const { token, name } = await make();
    expect(await there.verify(token)).not.toBe(null);
    await here.remove(name, ACTOR);
    await clock.advance(CACHE_MS - 1);
    expect(await there.verify(token)).not.toBe(null);
    await clock.advance(2);
    expect(await there.verify(token)).toBe(null);
    expect(CACHE_MS).toBeLessThanOrEqual(2_000);
  });

  it('frees its name, but does not come back with it', async () => {
    const { token, name } = await make();
    await here.remove(name, ACTOR);
    await here.create({ name, scopes: ALL_SCOPES, expiresAt: null }, ACTOR);
    expect(await here.verify(token)).toBe(null);
  });
});

describe('a control plane', () => {
  it('knows a token made elsewhere a moment ago', async () => {
    const clock = new FakeClock();
    const there = await tokens(clock, true);
    expect(await there.verify(`hga_${'0'.repeat(16)}_${'A'.repeat(43)}`)).toBe(null);
    const { token } = await make();
    await clock.advance(251);
    expect(await there.verify(token)).not.toBe(null);
  });

  it('waits for a copy that can know it, rather than refuse it', async () => {
    const clock = new FakeClock();
    const there = await tokens(clock, true);
    expect(await there.hasValid()).toBe(true);
    const { token, name } = await make();
    await clock.advance(10);
    const verdict = there.verify(token);
    await clock.until(() => clock.timerCount > 0, 0);
    await clock.advance(RELOAD_MS);
    expect(await verdict).toMatchObject({ name });
  });

  it('has so many wait for that, and refuses others at once', async () => {
    const clock = new FakeClock();
    let queries = 0;
    const there = new AdminTokens({ db: counting(() => queries++), clock, logger: silent });
    await there.hasValid();
    await clock.advance(10);
    const nonsense = `hga_${'0'.repeat(16)}_${'A'.repeat(43)}`;
    const waiting = Array.from({ length: WAITING_MAX }, () => there.verify(nonsense));
    await clock.until(() => clock.timerCount === WAITING_MAX, 0);
    expect(await there.verify(nonsense)).toBe(null);
    expect(queries).toBe(1);
    await clock.advance(RELOAD_MS);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([null]));
    expect(queries).toBe(2);
  });

  it('asks the database no more often for a flood of nonsense', async () => {
    let queries = 0;
    const counted = counting(() => queries++);
    const there = new AdminTokens({ db: counted, clock: new FakeClock(), logger: silent });
    const nonsense = Array.from({ length: 500 }, (_, i) =>
      there.verify(`hga_${String(i).padStart(16, '0')}_${'A'.repeat(43)}`),
    );
    expect(new Set(await Promise.all(nonsense))).toEqual(new Set([null]));
    expect(queries).toBe(1);
  });

  it('lets nobody in when it cannot ask', async () => {
    const broken = counting(() => {
      throw new StoreError({ code: 'unavailable' });
    });
    const there = new AdminTokens({ db: broken, clock: new FakeClock(), logger: silent });
    const { token } = await make();
    await expect(there.verify(token)).rejects.toBeInstanceOf(StoreError);
  });
});

function counting(onQuery: () => void): Db {
  return {
    driver: db.driver,
    canListen: false,
    query: async (text, params) => {
      onQuery();
      return db.query(text, params);
    },
    tx: (fn, options) => db.tx(fn, options),
    listen: (channel, fn) => db.listen(channel, fn),
    notify: (channel, payload) => db.notify(channel, payload),
    close: async () => {},
  };
}
