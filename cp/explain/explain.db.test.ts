import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { openTestAdmin, type TestAdmin } from '../admin/admin.suite.ts';
import { Publisher } from '../changes/publisher.ts';
import { GroupTables, TABLES_MAX, WAITING_MAX } from './group-tables.ts';

let db: TestStore;
let admin: TestAdmin;
let publisher: Publisher;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities, REGISTRY.plugins);
  admin = await openTestAdmin({ store: db.store, keyring: db.keyring });
  publisher = new Publisher({
    store: db.store,
    keyring: db.keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 60_000,
  });
}, 60_000);
afterAll(async () => {
  await admin.close();
  await publisher.close();
  await db.close();
});

const PATH = '/headgate/explain';

async function publish(): Promise<number> {
  await publisher.flush();
  const { rows } = await db.store.db.query<{ revision: number }>(
    'SELECT max(revision)::integer AS revision FROM manifests',
  );
  return must(rows[0], 'a row').revision;
}

async function made(path: string, body: object): Promise<string> {
  const answer = await admin.call('POST', path, body);
  expect(answer.status, answer.text).toBe(201);
  return String(answer.body['id']);
}

describe('/headgate/explain', () => {
  let route = '';
  let before = 0;
  let after = 0;

  beforeAll(async () => {
    await made('/upstreams', { name: 'pool.test' });
    await made('/upstreams/pool.test/targets', { target: '10.0.0.1:81', weight: 7 });
    await made('/services', { name: 'orders', host: 'pool.test', path: '/base' });
    route = await made('/services/orders/routes', { name: 'first', paths: ['/a'] });
    await made('/routes/first/plugins', { name: 'key-auth', config: { realm: 'realm-of-ours' } });
    before = await publish();
    await made('/services/orders/routes', { name: 'second', paths: ['/a/b'] });
    after = await publish();
  });

  it('tells what the newest revision does', async () => {
    const answer = await admin.call('POST', PATH, { url: 'http://a.test/a/c?q=1' });
    expect([answer.status, answer.text.includes('realm-of-ours')]).toEqual([200, false]);
    expect(answer.body).toMatchObject({
      group: 'default',
      runtime: 'node',
      configuration: { revision: after },
      outcome: 'proxied',
      route: { id: route, name: 'first' },
      plugins: {
        steps: [{ name: 'key-auth', phases: ['access'], configuration: { state: 'ready' } }],
      },
      upstream: {
        service: { name: 'orders' },
        path: '/base/c',
        query: 'q=1',
        targets: [{ host: '10.0.0.1', port: 81, weight: 7, health: null }],
      },
    });
  });

  it('tells the same to a GET', async () => {
    const { body } = await admin.call('GET', `${PATH}?url=/a/b/c`);
    expect(body['route']).toMatchObject({ name: 'second' });
    expect(await admin.call('POST', PATH, { url: '/a/b/c' })).toMatchObject({ body });
  });

  it('tells what an earlier revision did', async () => {
    const { body } = await admin.call('POST', PATH, { url: '/a/b/c', revision: before });
    expect(body).toMatchObject({ configuration: { revision: before }, route: { name: 'first' } });
    const byQuery = await admin.call('GET', `${PATH}?url=/a/b/c&revision=${before}`);
    expect(byQuery).toMatchObject({ status: 200, body });
    const now = await admin.call('POST', PATH, { url: '/a/b/c' });
    expect(now.body).toMatchObject({
      configuration: { revision: after },
      route: { name: 'second' },
    });
  });

  it('knows what the edge cannot do', async () => {
    await made('/services', { name: 'grpc', protocol: 'grpc', host: 'a.test' });
    await made('/services/grpc/routes', {
      protocols: ['grpc'],
      paths: ['/grpc'],
      strip_path: false,
    });
    await publish();
    const asked = {
      url: '/grpc',
      headers: { 'Content-Type': 'application/grpc' },
      http_version: '2',
    };
    const node = await admin.call('POST', PATH, asked);
    expect(node.body).toMatchObject({ outcome: 'proxied', upstream: { http_version: '2' } });
    const edge = await admin.call('POST', PATH, { ...asked, runtime: 'edge' });
    expect(edge.body).toMatchObject({
      outcome: 'answered',
      answer: { status: 503 },
      route: { fault: 'routes of protocol grpc are not supported at the edge' },
    });
  });

  it.each([
    [{}, 400],
    [{ url: '/', more: 1 }, 400],
    [{ url: '/', revision: 0 }, 400],
    [{ url: '/', runtime: 'cp' }, 400],
    [{ url: '/', group: 'nobody' }, 404],
    [{ url: '/', revision: 1_000_000 }, 404],
  ])('refuses %j', async (asked, status) => {
    expect((await admin.call('POST', PATH, asked)).status).toBe(status);
  });

  it('tells it to who may read the workspaces of the group, and to nobody else', async () => {
    const tokenOf = async (name: string, workspaces: object[]): Promise<string> => {
      const { body } = await admin.call('POST', '/headgate/tokens', {
        name,
        scopes: { workspaces },
      });
      return String(body['token']);
    };
    const ask = async (token: string) =>
      admin.call('POST', PATH, { url: '/a' }, { authorization: `Bearer ${token}` });
    const reader = await tokenOf('reader', [{ workspace: 'default', access: 'read' }]);
    expect((await ask(reader)).status).toBe(200);
    const stranger = await tokenOf('stranger', [{ workspace: 'other', access: 'write' }]);
    expect((await ask(stranger)).status).toBe(403);
  });
});

describe('the tables of groups', () => {
  it('are built one at a time, for so many callers, and kept for so many groups', async () => {
    const options = {
      db: db.store.db,
      registry: REGISTRY,
      crypto: nodeCrypto,
      routerFlavor: 'traditional_compatible',
    } as const;
    const tables = new GroupTables(options);
    const head = must(
      await tables.find({ group: 'default', revision: null, runtime: 'node' }),
      'it was published',
    );
    const asked = Array.from({ length: WAITING_MAX + 1 }, () => tables.tables(head, 'node'));
    const results = await Promise.all(asked);
    expect(results.filter(({ ok }) => !ok)).toMatchObject([{ reason: 'busy' }]);
    const distinct = new Set(results.map((result) => (result.ok ? result.tables : null)));
    expect(distinct.size).toBe(2);

    // The same content under other names, as many groups would have it.
    const first = await tables.tables(head, 'node');
    for (let n = 0; n < TABLES_MAX; n++) {
      await cloneGroup(head.groupId, `clone ${n}`);
      const other = await tables.find({ group: `clone ${n}`, revision: null, runtime: 'node' });
      expect((await tables.tables(must(other, 'cloned'), 'node')).ok).toBe(true);
    }
    const again = await tables.tables(head, 'node');
    expect(again.ok && first.ok && again.tables !== first.tables).toBe(true);
  });

  it('are not made of a revision whose nodes are gone', async () => {
    const tables = new GroupTables({
      db: db.store.db,
      registry: REGISTRY,
      crypto: nodeCrypto,
      routerFlavor: 'traditional_compatible',
    });
    await db.store.db.query(
      `DELETE FROM group_nodes n USING groups g WHERE g.id = n.group_id AND g.name = 'clone 0'`,
    );
    const head = await tables.find({ group: 'clone 0', revision: null, runtime: 'node' });
    expect(await tables.tables(must(head, 'its manifest is there'), 'node')).toMatchObject({
      ok: false,
      reason: 'gone',
    });
  });
});

async function cloneGroup(of: string, name: string): Promise<void> {
  const id = nodeRandom.uuid();
  const { db: sql } = db.store;
  await sql.query('INSERT INTO groups (id, name, workspaces) VALUES ($1, $2, ARRAY[]::uuid[])', [
    id,
    name,
  ]);
  await sql.query(
    `INSERT INTO manifests (group_id, epoch, revision, level, manifest, signature, key_list,
       key_list_signature, hash, delta)
     SELECT $2, epoch, revision, level, manifest, signature, key_list, key_list_signature, hash, delta
     FROM manifests WHERE group_id = $1 ORDER BY revision DESC LIMIT 1`,
    [of, id],
  );
  await sql.query(
    'INSERT INTO group_nodes (group_id, id, text) SELECT $2, id, text FROM group_nodes WHERE group_id = $1',
    [of, id],
  );
}
