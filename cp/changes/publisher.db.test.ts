import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { fromBase64url } from '#shared/base/bytes.ts';
import { verifySigned } from '#shared/config/manifest.ts';
import { parseRecordText } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { processInsert } from '#shared/schema/process.ts';
import { decodeDownFrame } from '#shared/wire/codec.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { eventually } from '../../test/support/eventually.ts';
import { DELTA_LENGTH_MAX } from './stored-level.ts';
import { Publisher } from './publisher.ts';
import { MANIFESTS_KEPT_MIN, SWEPT_ROWS_MAX, sweepRetired } from './retention.ts';

const ACTOR = { name: 'test', source: null };
const DEPS = {
  nowSeconds: 1_800_000_000,
  uuid: () => nodeRandom.uuid(),
  randomText: (length: number) => nodeRandom.uuid().replaceAll('-', '').slice(0, length),
};

let db: TestStore;
let group: string;
let ws: string;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());

/** A group of its own on a workspace of its own: the tests share one database. */
beforeEach(async () => {
  group = nodeRandom.uuid();
  ws = nodeRandom.uuid();
  const { store } = db;
  await store.db.query('DELETE FROM group_records');
  await store.db.query('DELETE FROM group_nodes');
  await store.db.query('DELETE FROM manifests');
  await store.db.query('DELETE FROM groups');
  await store.db.query('INSERT INTO workspace_versions (ws_id, version) VALUES ($1, 0)', [ws]);
  await store.db.query(
    'INSERT INTO groups (id, name, workspaces) VALUES ($1, $2, ARRAY[$3::uuid])',
    [group, `group ${group}`, ws],
  );
});

function publisher(logger: Logger = silent): Publisher {
  return new Publisher({
    store: db.store,
    keyring: db.keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger,
    pollMs: 60_000,
  });
}

function make(kind: string, input: JsonObject): AnyEntity {
  const def = must(REGISTRY.entities.get(kind), kind);
  const made = processInsert(def, input, REGISTRY, DEPS);
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  return made.entity;
}

async function insert(...entities: [string, AnyEntity][]): Promise<void> {
  await db.store.write(ws, ACTOR, async (tx) => {
    for (const [kind, entity] of entities) {
      await tx.insert(must(REGISTRY.entities.get(kind), kind), ws, entity);
    }
  });
}

const service = (name: string): [string, AnyEntity] => [
  'services',
  make('services', { name, host: 'upstream.test' }),
];

interface Row {
  readonly epoch: number;
  readonly revision: number;
  readonly hash: string;
  readonly manifest: string;
  readonly signature: string;
  readonly key_list: string;
  readonly key_list_signature: string;
  readonly delta: string | null;
}

async function manifests(): Promise<Row[]> {
  const { rows } = await db.store.db.query<Row>(
    'SELECT * FROM manifests WHERE group_id = $1 ORDER BY epoch, revision',
    [group],
  );
  return rows;
}

/** What a node that applies every delta ends with; checks each root on the way. */
async function replay(from: ConfigTree = ConfigTree.empty(nodeCrypto)): Promise<ConfigTree> {
  let tree = from;
  let previous = '';
  for (const row of await manifests()) {
    const root = JSON.parse(row.manifest).root as string;
    if (row.delta !== null) {
      const decoded = decodeDownFrame(row.delta);
      if (!decoded.ok || decoded.frame.type !== 'delta') throw new Error('not a delta');
      const { upserts, removals, base } = decoded.frame;
      expect(base.hash).toBe(previous);
      const records = upserts.map((text) => must(parseRecordText(text, nodeCrypto), 'a record'));
      tree = tree.apply(records, removals);
    }
    expect(tree.hash).toBe(root);
    previous = row.hash;
  }
  return tree;
}

/** Rows of what is published, by kind. */
async function published(): Promise<Map<string, string>> {
  const { rows } = await db.store.db.query<{ kind: string; text: string }>(
    'SELECT kind, text FROM group_records WHERE group_id = $1',
    [group],
  );
  return new Map(rows.map(({ kind, text }) => [kind, text]));
}

describe('secrets that data planes need as they are', () => {
  const limits = (password: string | null): AnyEntity => ({
    ...make('plugins', { name: 'rate-limiting', config: { minute: 5 } }),
    id: 'aaaaaaaa-0000-4000-8000-000000000001',
    config: { minute: 5, redis: { host: 'r', password } },
  });
  const write = (entity: AnyEntity, how: 'insert' | 'update') =>
    db.store.write(ws, ACTOR, (tx) =>
      tx[how](must(REGISTRY.entities.get('plugins'), 'p'), ws, entity),
    );

  it('are published sealed beside their entity, and gone when it has none any more', async () => {
    const it_ = publisher();
    await it_.flush();
    await write(limits('hidden'), 'insert');
    await it_.flush();
    const first = await published();
    expect([...first.keys()].toSorted()).toEqual(['plugins', 'sealed:plugins']);
    expect([...first.values()].join()).not.toContain('hidden');

    await write(limits('other'), 'update');
    await it_.flush();
    const second = await published();
    expect(second.get('plugins')).toBe(first.get('plugins'));
    expect(second.get('sealed:plugins')).not.toBe(first.get('sealed:plugins'));

    await write(limits(null), 'update');
    await it_.flush();
    expect([...(await published()).keys()]).toEqual(['plugins']);
    await replay();
    await it_.close();
  });

  it('keep their bytes when everything is read anew, whoever publishes', async () => {
    const one = publisher();
    await write(limits('hidden'), 'insert');
    await one.flush();
    await one.close();
    const before = await published();
    await db.store.db.query('UPDATE groups SET published = $2::jsonb WHERE id = $1', [group, '{}']);
    const other = publisher();
    await other.flush();
    await other.close();
    expect(await published()).toEqual(before);
    const delta = must((await manifests()).at(-1)?.delta ?? null, 'a delta');
    expect(JSON.parse(delta)).toMatchObject({ upserts: [], removals: [] });
  });

  it('are sealed again, and look-ups hashed again, when the group has a new secret', async () => {
    const it_ = publisher();
    await it_.flush();
    const owner = make('consumers', { username: 'u' });
    await insert(
      ['consumers', owner],
      [
        'keyauth_credentials',
        make('keyauth_credentials', { key: 'k', consumer: { id: owner.id } }),
      ],
    );
    await write(limits('hidden'), 'insert');
    await it_.flush();
    const before = await published();
    await db.store.db.query('UPDATE groups SET secret_generation = 2 WHERE id = $1', [group]);
    await it_.flush();
    const after = await published();
    for (const kind of ['plugins', 'consumers']) expect(after.get(kind)).toBe(before.get(kind));
    for (const kind of ['sealed:plugins', 'keyauth_credentials']) {
      expect(after.get(kind)).not.toBe(before.get(kind));
    }
    const generations = (await manifests()).map(({ manifest }) => JSON.parse(manifest));
    expect(generations.map((each) => each.secret_generation)).toEqual([1, 1, 2]);
    await replay();
    await it_.flush();
    expect(await manifests()).toHaveLength(3);
    await it_.close();
  });

  it('are published for groups that an older release published without them', async () => {
    const it_ = publisher();
    await write(limits('hidden'), 'insert');
    await it_.flush();
    await db.store.db.query(
      "UPDATE manifests SET manifest = (manifest::jsonb - 'secret_generation')::text WHERE group_id = $1",
      [group],
    );
    await db.store.db.query("DELETE FROM group_records WHERE kind = 'sealed:plugins'");
    await db.store.db.query('UPDATE groups SET published_as = NULL');
    const other = publisher();
    await other.flush();
    expect([...(await published()).keys()].toSorted()).toEqual(['plugins', 'sealed:plugins']);
    await Promise.all([it_.close(), other.close()]);
  });
});

describe('publishing', () => {
  it('publishes revision 1 of an empty workspace, verifiable from the root key', async () => {
    const it_ = publisher();
    await it_.flush();
    await it_.close();

    const [row, ...more] = await manifests();
    expect(more).toEqual([]);
    const signed = must(row, 'a manifest');
    const pinned = {
      cluster: db.keyring.clusterId,
      groupId: group,
      rootKey: must(fromBase64url(db.keyring.rootPublicKey), 'a key'),
    };
    const verified = await verifySigned(signed, pinned, nodeCrypto);
    expect(verified).toMatchObject({ ok: true, hash: signed.hash });
    expect(JSON.parse(signed.manifest)).toMatchObject({ revision: 1, records: 0, previous: '' });
    const { rows } = await db.store.db.query('SELECT id FROM group_nodes WHERE group_id = $1', [
      group,
    ]);
    expect(rows).toEqual([{ id: JSON.parse(signed.manifest).root }]);
  });

  it('takes no revision when nothing changed', async () => {
    const it_ = publisher();
    await it_.flush();
    await it_.flush();
    await it_.close();
    expect(await manifests()).toHaveLength(1);
  });

  it('coalesces commits into contiguous revisions whose deltas lead to each signed root', async () => {
    const it_ = publisher();
    await it_.flush();
    it_.start();
    for (let i = 0; i < 30; i += 1) await insert(service(`s${i}`));
    await it_.flush();
    await it_.close();

    const rows = await manifests();
    expect(rows.map((row) => row.revision)).toEqual(rows.map((_, index) => index + 1));
    expect(rows.length).toBeLessThanOrEqual(31);
    const tree = await replay();
    expect(tree.size).toBe(30);
    expect(JSON.parse(must(rows.at(-1), 'a row').manifest).workspaces).toMatchObject({ [ws]: 30 });
  });

  it('sends updates, removals and what a removal takes along', async () => {
    const it_ = publisher();
    await it_.flush();
    const [, parent] = service('parent');
    const route = make('routes', { paths: ['/a'], service: { id: parent.id } });
    const plugin = make('plugins', { name: 'correlation-id', route: { id: route.id } });
    await insert(['services', parent], ['routes', route], ['plugins', plugin]);
    await it_.flush();
    expect((await replay()).size).toBe(3);

    const routes = must(REGISTRY.entities.get('routes'), 'routes');
    await db.store.write(ws, ACTOR, (tx) => tx.update(routes, ws, { ...route, paths: ['/b'] }));
    await it_.flush();
    const changed = [...(await replay()).records()].find(({ kind }) => kind === 'routes');
    expect(changed?.body['paths']).toEqual(['/b']);
    await db.store.write(ws, ACTOR, (tx) => tx.remove(routes, ws, route.id));
    await it_.flush();
    await it_.close();

    expect([...(await replay()).records()].map(({ kind }) => kind)).toEqual(['services']);
  });

  it('never lets a key out, and moves the credential in the tree when its key changes', async () => {
    const it_ = publisher();
    await it_.flush();
    const consumer = make('consumers', { username: 'ann' });
    const key = 'a-key-that-must-not-travel';
    const input = { key, consumer: { id: consumer.id } };
    const credential = make('keyauth_credentials', input);
    await insert(['consumers', consumer], ['keyauth_credentials', credential]);
    await it_.flush();
    const before = [...(await replay()).records()].find(({ id }) => id === credential.id);
    const kinds = must(REGISTRY.entities.get('keyauth_credentials'), 'credentials');
    await db.store.write(ws, ACTOR, (tx) =>
      tx.update(kinds, ws, { ...credential, key: `${key}-2` }),
    );
    await it_.flush();
    await it_.close();

    const tree = await replay();
    const after = [...tree.records()].find(({ id }) => id === credential.id);
    expect(tree.size).toBe(2);
    expect(after?.placement).not.toBe(before?.placement);
    expect(after?.body['key']).toMatch(/^[0-9a-f]{64}$/);
    expect(after?.placement).not.toBe(after?.body['key']);
    const { rows } = await db.store.db.query(
      `SELECT text FROM group_records WHERE text LIKE '%must-not-travel%'
       UNION ALL SELECT text FROM group_nodes WHERE text LIKE '%must-not-travel%'
       UNION ALL SELECT delta FROM manifests WHERE delta LIKE '%must-not-travel%'`,
    );
    expect(rows).toEqual([]);
  });

  it('publishes each version once when two publishers share the database', async () => {
    const both = [publisher(), publisher()];
    for (const one of both) one.start();
    await Promise.all(both.map((one) => one.flush()));
    for (let i = 0; i < 20; i += 1) {
      await Promise.all([insert(service(`a${i}`)), insert(service(`b${i}`))]);
    }
    await eventually('all is published', async () => {
      const last = (await manifests()).at(-1);
      return last !== undefined && JSON.parse(last.manifest).records === 40;
    });
    for (const one of both) await one.close();

    const rows = await manifests();
    expect(rows.map((row) => row.revision)).toEqual(rows.map((_, index) => index + 1));
    expect((await replay()).size).toBe(40);
  });

  it('goes on where another publisher stopped, with the tree rebuilt from the records', async () => {
    const first = publisher();
    await insert(service('one'), service('two'));
    await first.flush();
    await first.close();
    await insert(service('three'));
    const second = publisher();
    await second.flush();
    await second.close();

    const rows = await manifests();
    expect(rows).toHaveLength(2);
    const older = await treeOfNodes(must(rows[0], 'a row'));
    const decoded = decodeDownFrame(must(rows[1]?.delta, 'a delta'));
    if (!decoded.ok || decoded.frame.type !== 'delta') throw new Error('not a delta');
    const added = decoded.frame.upserts.map((text) =>
      must(parseRecordText(text, nodeCrypto), text),
    );
    expect(older.apply(added, []).hash).toBe(JSON.parse(must(rows[1], 'a row').manifest).root);
  });

  it('stores no delta beyond its bound, nor across epochs', async () => {
    const it_ = publisher();
    await it_.flush();
    const long = 'x'.repeat(1_000);
    const many = Array.from({ length: DELTA_LENGTH_MAX / 1_000 }, (_, i) =>
      make('services', { name: `s${i}`, host: 'upstream.test', tags: [long] }),
    );
    await insert(...many.map((entity): [string, AnyEntity] => ['services', entity]));
    await it_.flush();
    await db.store.db.query("UPDATE groups SET epoch = epoch + 1, published = '{}'");
    await it_.flush();
    await it_.close();

    const rows = await manifests();
    expect(rows.map((row) => [row.epoch, row.revision, row.delta])).toEqual([
      [1, 1, null],
      [1, 2, null],
      [2, 3, null],
    ]);
    expect(JSON.parse(must(rows[2], 'a row').manifest).records).toBe(many.length);
  });

  it('tells which workspaces there are, and of none that the group does not subscribe to', async () => {
    const workspaces = must(REGISTRY.entities.get('workspaces'), 'workspaces');
    const named = async () => {
      const tree = await replay();
      return [...tree.records()].map(({ kind, body }) => [kind, body['name']]);
    };
    const it_ = publisher();
    const system = '00000000-0000-0000-0000-000000000000';
    const [ours, theirs] = [
      make('workspaces', { name: 'ours' }),
      make('workspaces', { name: 'b' }),
    ];
    await db.store.write(system, ACTOR, async (tx) => {
      await tx.insert(workspaces, system, ours);
      await tx.insert(workspaces, system, theirs);
    });
    await it_.flush();
    expect(await named()).toEqual([]);

    await db.store.db.query('UPDATE groups SET workspaces = array_append(workspaces, $1::uuid)', [
      ours.id,
    ]);
    await it_.flush();
    expect(await named()).toEqual([['workspaces', 'ours']]);
    await db.store.db.query('UPDATE groups SET workspaces = array_remove(workspaces, $1::uuid)', [
      ours.id,
    ]);
    await it_.flush();
    await it_.close();
    expect(await named()).toEqual([]);
  });

  it('drops the records of a workspace that the group no longer subscribes to', async () => {
    const it_ = publisher();
    await insert(service('one'));
    await it_.flush();
    await db.store.db.query("UPDATE groups SET workspaces = '{}'");
    await it_.flush();
    await it_.close();
    const last = must((await manifests()).at(-1), 'a row');
    expect(JSON.parse(last.manifest)).toMatchObject({ revision: 2, records: 0, workspaces: {} });
  });
});

describe('a failure while publishing', () => {
  it('is logged, leaves nothing half done, and is tried again by itself', async () => {
    const failures: number[] = [];
    const it_ = publisher({
      log: (_level, message, fields) => {
        if (message === 'publishing failed') failures.push(Number(fields?.['retryMs']));
      },
    });
    await insert(service('one'));
    await db.store.db.query('ALTER TABLE group_nodes RENAME TO hidden');
    it_.start();
    await eventually('three tries', () => failures.length >= 3);
    const { rows } = await db.store.db.query('SELECT 1 FROM group_records');
    expect(rows).toEqual([]);
    expect(await manifests()).toEqual([]);
    await db.store.db.query('ALTER TABLE hidden RENAME TO group_nodes');
    const [row] = await eventually('published', async () => {
      const found = await manifests();
      return found.length > 0 && found;
    });
    await it_.close();

    expect(JSON.parse(must(row, 'a row').manifest)).toMatchObject({ revision: 1, records: 1 });
    expect(failures.every((waitMs) => waitMs > 0 && waitMs <= 5_000)).toBe(true);
  });
});

/** The tree of a revision, from its nodes as a node would fetch them. */
async function treeOfNodes(row: Row): Promise<ConfigTree> {
  const { rows } = await db.store.db.query<{ text: string }>(
    'SELECT text FROM group_nodes WHERE group_id = $1 AND id = $2',
    [group, JSON.parse(row.manifest).root],
  );
  const lines = must(rows[0], 'the root').text.split('\n');
  const records = lines.flatMap((line) => parseRecordText(line, nodeCrypto) ?? []);
  return ConfigTree.empty(nodeCrypto).apply(records, []);
}

describe('retention', () => {
  it('keeps the last manifests and all nodes they refer to, and sweeps the rest', async () => {
    const it_ = publisher();
    const count = MANIFESTS_KEPT_MIN + 5;
    for (let i = 0; i < count; i += 1) {
      await insert(service(`s${i}`));
      await it_.flush();
    }
    await db.store.db.query("UPDATE manifests SET created_at = now() - interval '25 hours'");
    expect(await sweepRetired(db.store.db)).toBeGreaterThan(0);
    await it_.close();

    const rows = await manifests();
    expect(rows).toHaveLength(MANIFESTS_KEPT_MIN);
    for (const row of rows) {
      expect((await treeOfNodes(row)).hash).toBe(JSON.parse(row.manifest).root);
    }
    const { rows: nodes } = await db.store.db.query('SELECT id FROM group_nodes');
    expect(nodes).toHaveLength(MANIFESTS_KEPT_MIN);
  });

  it('keeps what is younger than a day', async () => {
    const it_ = publisher();
    for (let i = 0; i < MANIFESTS_KEPT_MIN + 2; i += 1) {
      await insert(service(`s${i}`));
      await it_.flush();
    }
    await it_.close();
    expect(await sweepRetired(db.store.db)).toBe(0);
  });

  it('is not left behind by more than one statement removes', async () => {
    const first = publisher();
    await insert(service('one'));
    await first.flush();
    await first.close();
    await db.store.db.query(
      `INSERT INTO manifests (group_id, epoch, revision, level, manifest, signature, key_list,
         key_list_signature, hash, created_at)
       SELECT group_id, 0, n, level, manifest, signature, key_list, key_list_signature, 'old ' || n,
         now() - interval '25 hours'
       FROM manifests, generate_series(1, $1) AS n`,
      [SWEPT_ROWS_MAX * 2 + 500],
    );
    const next = publisher();
    await next.flush();
    await next.close();
    expect((await manifests()).length).toBeLessThanOrEqual(MANIFESTS_KEPT_MIN);
  });
});
