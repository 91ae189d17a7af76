/** Two control planes on one PostgreSQL server: what one revokes, the other refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { silent } from '../../test/support/pglite.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import type { Db } from '../store/db.ts';
import { openPg } from '../store/drivers/pg.ts';
import { migrate } from '../store/migrate.ts';
import { AdminTokens, CACHE_MS, TOKENS_MAX } from './admin-tokens.ts';
import { ALL_SCOPES } from './scopes.ts';

const ACTOR = { name: 'tester', source: null };
const postgres = await startPostgres();

function suite(createDatabase: () => Promise<string>): void {
  const handles: Db[] = [];
  const opened: AdminTokens[] = [];
  const controlPlane = async (clock: FakeClock, isDeaf: boolean): Promise<AdminTokens> => {
    const [db] = handles.splice(0, 1);
    if (db === undefined) throw new Error('a handle each');
    handles.push(db);
    const tokens = new AdminTokens({ db, clock, logger: silent });
    if (!isDeaf) await tokens.start();
    opened.push(tokens);
    return tokens;
  };
  const make = async (tokens: AdminTokens, name: string) => {
    const made = await tokens.create({ name, scopes: ALL_SCOPES, expiresAt: null }, ACTOR);
    return made?.token ?? '';
  };

  beforeAll(async () => {
    const url = await createDatabase();
    for (let i = 0; i < 2; i++) handles.push(openPg({ url, isPooled: false, logger: silent }));
    for (const db of handles.slice(0, 1)) await migrate(db, silent);
  });
  afterAll(async () => {
    await Promise.all(opened.map((tokens) => tokens.close()));
    await Promise.all(handles.map((db) => db.close()));
  });

  it('at once, when notifications get through', async () => {
    const here = await controlPlane(new FakeClock(), false);
    const there = await controlPlane(new FakeClock(), false);
    const token = await make(here, 'heard');
    await expect.poll(() => there.verify(token)).not.toBe(null);
    await here.remove('heard', ACTOR);
    // Its clock stands still: nothing but the notification can make it look again.
    await expect.poll(() => there.verify(token)).toBe(null);
  });

  it('after two seconds, when they do not', async () => {
    const clock = new FakeClock();
    const here = await controlPlane(new FakeClock(), true);
    const there = await controlPlane(clock, true);
    const token = await make(here, 'unheard');
    expect(await there.verify(token)).not.toBe(null);
    await here.remove('unheard', ACTOR);
    await clock.advance(CACHE_MS - 1);
    expect(await there.verify(token)).not.toBe(null);
    await clock.advance(2);
    expect(await there.verify(token)).toBe(null);
  });

  it('and both together make no more tokens than there may be', async () => {
    const here = await controlPlane(new FakeClock(), true);
    const there = await controlPlane(new FakeClock(), true);
    const room = 5;
    await handles[0]?.query(
      `INSERT INTO admin_tokens (id, name, digest, scopes, created_by)
       SELECT 'filler-' || n, 'filler-' || n, '\\x00', '{}', 'tester'
       FROM generate_series(1, $1::integer - (SELECT count(*)::integer FROM admin_tokens)) n`,
      [TOKENS_MAX - room],
    );
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, i) => make(i % 2 === 0 ? here : there, `many-${i}`)),
    );
    expect(made.filter((token) => token !== '')).toHaveLength(room);
  });
}

describe.skipIf('missing' in postgres)('a token on two control planes is refused', () => {
  if ('missing' in postgres) return;
  afterAll(() => postgres.stop());
  suite(() => postgres.createDatabase());
});
