/** What only shows where transactions overlap: on a PostgreSQL server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { silent } from '../../test/support/pglite.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { openPg } from '../store/drivers/pg.ts';
import { openStoreOn } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const KEK = Buffer.alloc(32, 7).toString('base64');
const WRITERS = 30;
const postgres = await startPostgres();

function suite(createDatabase: () => Promise<string>): void {
  let dataDir: string;
  let store: Store;
  let call: TestAdmin['call'];
  beforeAll(async () => {
    dataDir = await mkdtemp(`${tmpdir()}/headgate-`);
    const db = openPg({ url: await createDatabase(), isPooled: false, logger: silent });
    const database = { url: null, driver: null, dataDir };
    const options = { database, kek: KEK, registry: REGISTRY, logger: silent };
    const opened = await openStoreOn(db, options);
    ({ store } = opened);
    ({ call } = await openTestAdmin({ store, keyring: opened.keyring }));
  });
  afterAll(async () => {
    await store.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const atOnce = <T>(work: (index: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: WRITERS }, (_, index) => work(index)));
  const version = async () => {
    const { rows } = await store.db.query<{ sum: number }>(
      'SELECT sum(version)::int8 AS sum FROM workspace_versions',
    );
    return rows[0]?.sum ?? -1;
  };

  it('many PUTs of one name that is not there yet all succeed, on one entity', async () => {
    for (let round = 0; round < 5; round++) {
      const answers = await atOnce(() => call('PUT', `/consumers/put-${round}`, {}));
      expect(answers.map(({ status, text }) => (status === 200 ? status : text))).toEqual(
        answers.map(() => 200),
      );
      expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1);
    }
  });

  it('and so do those of one id', async () => {
    const path = '/services/22222222-2222-4222-8222-222222222222';
    const answers = await atOnce((index) => call('PUT', path, { host: `h${index}.test` }));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  });

  it('many POSTs of one name make one entity', async () => {
    const answers = await atOnce(() => call('POST', '/services', { name: 'one', host: 'h.test' }));
    const statuses = answers.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([201, ...Array.from({ length: WRITERS - 1 }, () => 409)]);
  });

  it('many PATCHes of one entity lose nothing, and each has its version', async () => {
    await call('PUT', '/routes/patched', { paths: ['/a'] });
    const before = await version();
    const fields = ['tags', 'hosts', 'methods', 'snis', 'regex_priority', 'preserve_host'];
    const values = [['t'], ['h.test'], ['GET'], ['s.test'], 7, true];
    const answers = await atOnce((index) => {
      const at = index % fields.length;
      return call('PATCH', '/routes/patched', { [fields[at] ?? '']: values[at] });
    });
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect((await call('GET', '/routes/patched')).body).toMatchObject(
      Object.fromEntries(fields.map((field, index) => [field, values[index]])),
    );
    expect(await version()).toBe(before + WRITERS);
  });

  it('a parent that goes leaves no child', async () => {
    for (let round = 0; round < 5; round++) {
      await call('PUT', `/consumers/leaving-${round}`, {});
      const answers = await atOnce((index) =>
        index === 10
          ? call('DELETE', `/consumers/leaving-${round}`)
          : call('POST', `/consumers/leaving-${round}/key-auth`, {}),
      );
      for (const { status, text } of answers) expect([201, 204, 400, 404], text).toContain(status);
    }
    const { rows } = await store.db.query(
      'SELECT id FROM keyauth_credentials c WHERE NOT EXISTS ' +
        '(SELECT 1 FROM consumers p WHERE p.id = c.consumer_id)',
    );
    expect(rows).toEqual([]);
    const left = await store.db.query("SELECT id FROM consumers WHERE username LIKE 'leaving-%'");
    expect(left.rows).toEqual([]);
  });

  it('a foreign PUT on many connections makes one entity', async () => {
    await call('PUT', '/routes/crowded', { paths: ['/c'] });
    const answers = await atOnce((index) =>
      call('PUT', '/routes/crowded/service', { host: `h${index}.test` }),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1);
  });

  it('a plugin and the routes it is checked against do not lock each other out', async () => {
    await call('PUT', '/services/busy', { host: 'h.test' });
    const answers = await atOnce((index) =>
      index % 3 === 0
        ? call('PUT', `/services/busy/plugins/key-auth-${index}`, {
            name: index % 2 === 0 ? 'key-auth' : 'correlation-id',
            protocols: ['http'],
          })
        : call('PUT', `/services/busy/routes/r-${index}`, { paths: [`/r-${index}`] }),
    );
    for (const { status, text } of answers) expect([200, 409], text).toContain(status);
  });
}

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  afterAll(() => postgres.stop());
  describe('many at once', () => suite(() => postgres.createDatabase()));
}
