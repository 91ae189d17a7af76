/**
 * Two releases on one database. The newer knows tags of Services, and consumers that older data planes
 * never heard of; the older one is the same code with a registry and levels from before.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { atOnce } from '#shared/base/slices.ts';
import { parseRecordText, type ConfigRecord } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { REGISTRY } from '#shared/registry.ts';
import { decodeDownFrame } from '#shared/wire/codec.ts';
import type { LogLine } from '../../test/support/fake-platform.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { entityOf } from '../store/context.suite.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import { findBehind } from './group-state.ts';
import { lower, publishedLevels, type Levels, type StepDown } from './levels.ts';
import { Publisher } from './publisher.ts';
import { MANIFESTS_KEPT_MIN, sweepRetired } from './retention.ts';

const ACTOR = { name: 'test', source: null };
/** Idle rounds after which publishers that take turns would have shown it. */
const IDLE_ROUNDS = 6;

const down: StepDown = (kind, body) => {
  if (kind === 'consumers') return null;
  if (kind !== 'services') return body;
  if (JSON.stringify(body['tags']).includes('guarded')) return 'unfit';
  const { tags: _new, ...known } = body;
  return known;
};
const NEWER: Levels = { newest: 2, down };
const OLDER: Levels = { newest: 1, down: null };

/** What the release before knows. */
const BEFORE: Registry = { ...REGISTRY, entities: entitiesBefore() };

function entitiesBefore(): Registry['entities'] {
  const entities = new Map(REGISTRY.entities);
  const { tags: _new, ...fields } = must(entities.get('services'), 'services').fields;
  entities.set('services', { ...must(entities.get('services'), 'services'), fields });
  entities.set('consumers', { ...must(entities.get('consumers'), 'consumers'), wire: false });
  return entities;
}

let db: TestStore;
let group: string;
let ws: string;
let logs: LogLine[];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(async () => {
  await db.epochs.close();
  await db.close();
});
beforeEach(async () => {
  [group, ws, logs] = [nodeRandom.uuid(), nodeRandom.uuid(), []];
  for (const table of ['group_records', 'group_nodes', 'manifests', 'groups']) {
    await db.store.db.query(`DELETE FROM ${table}`);
  }
  await db.store.db.query('INSERT INTO workspace_versions (ws_id, version) VALUES ($1, 0)', [ws]);
  await db.store.db.query(
    'INSERT INTO groups (id, name, workspaces) VALUES ($1, $2, ARRAY[$3::uuid])',
    [group, `group ${group}`, ws],
  );
});

/** A control plane of one release, as far as publishing goes. */
function publisher(levels: Levels): Publisher {
  return publisherOf(levels === NEWER ? REGISTRY : BEFORE, levels);
}

async function write(
  how: 'insert' | 'update',
  kind: string,
  values: JsonObject,
  to = ws,
): Promise<AnyEntity> {
  const definition = must(REGISTRY.entities.get(kind), kind);
  const entity = entityOf(definition, values);
  await db.store.write(to, ACTOR, (tx) => tx[how](definition, to, entity));
  return entity;
}

const service = (name: string, tags: string[] = []) =>
  write('insert', 'services', { name, host: 'upstream.test', tags });

interface Row {
  readonly epoch: number;
  readonly revision: number;
  readonly level: number;
  readonly hash: string;
  readonly manifest: string;
  readonly delta: string | null;
}

async function manifests(level: number): Promise<Row[]> {
  const { rows } = await db.store.db.query<Row>(
    'SELECT * FROM manifests WHERE group_id = $1 AND level = $2 ORDER BY epoch, revision',
    [group, level],
  );
  return rows;
}

const revisionsAt = async (level: number): Promise<number[]> =>
  (await manifests(level)).map(({ revision }) => revision);

/** The records of a level, put together as a data plane does: from the tree nodes that were stored. */
async function held(level: number): Promise<ConfigTree> {
  const head = must((await manifests(level)).at(-1), 'a manifest');
  const { rows } = await db.store.db.query<{ id: string; text: string }>(
    'SELECT id, text FROM group_nodes WHERE group_id = $1 AND level = $2 AND retired_revision IS NULL',
    [group, level],
  );
  const records = rows.flatMap(({ text }) =>
    text.split('\n').flatMap((line) => parseRecordText(line, nodeCrypto) ?? []),
  );
  const tree = ConfigTree.empty(nodeCrypto).apply(records, []);
  const { root, records: count } = JSON.parse(head.manifest);
  expect([tree.hash, tree.size], `level ${level}`).toEqual([root, count]);
  const stored = await db.store.db.query(
    'SELECT 1 FROM group_records WHERE group_id = $1 AND level = $2',
    [group, level],
  );
  expect(stored.count, `records of level ${level}`).toBe(count);
  return tree;
}

/** Every delta leads from the manifest before it to its own. */
async function replay(level: number): Promise<void> {
  let tree = ConfigTree.empty(nodeCrypto);
  let previous = '';
  let isKnown = false;
  for (const row of await manifests(level)) {
    const { root, level: said, previous: told, records: count } = JSON.parse(row.manifest);
    expect([said, told]).toEqual([level, previous]);
    const decoded = row.delta === null ? null : decodeDownFrame(row.delta);
    isKnown = count === 0 || (isKnown && decoded !== null);
    if (count === 0) tree = ConfigTree.empty(nodeCrypto);
    else if (decoded?.ok === true && decoded.frame.type === 'delta') {
      const { upserts, removals, base } = decoded.frame;
      expect(base.hash).toBe(previous);
      const records = upserts.map((text) => must(parseRecordText(text, nodeCrypto), 'a record'));
      tree = tree.apply(records, removals);
    }
    if (isKnown) expect(tree.hash, `revision ${row.revision}`).toBe(root);
    previous = row.hash;
  }
  await held(level);
}

function lowered(tree: ConfigTree): ConfigTree {
  const made = atOnce(lower(tree.records(), down, nodeCrypto));
  if ('unfit' in made) throw new Error('unfit');
  return ConfigTree.empty(nodeCrypto).apply(made.records, []);
}

const servicesOf = (tree: ConfigTree): ConfigRecord[] =>
  [...tree.records()].filter(({ kind }) => kind === 'services');

/** Neither finds anything to do for long: they do not publish in turns. */
async function rest(...publishers: Publisher[]): Promise<void> {
  for (let round = 0; round < 3; round++) for (const one of publishers) await one.flush();
  const before = [await manifests(1), await manifests(2)].flat().length;
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    for (const one of publishers) await one.flush();
  }
  expect([await manifests(1), await manifests(2)].flat()).toHaveLength(before);
}

describe('a configuration at two schema levels', () => {
  it('has a manifest, tree nodes and deltas of its own for each revision and level', async () => {
    const it_ = publisher(NEWER);
    await it_.flush();
    await service('one', ['a']);
    await it_.flush();
    await write('insert', 'consumers', { username: 'ann' });
    await service('two', ['b']);
    await it_.flush();
    expect(await revisionsAt(2)).toEqual([1, 2, 3]);
    expect(await revisionsAt(1)).toEqual([1, 2, 3]);
    const [newer, older] = [await held(2), await held(1)];
    expect(servicesOf(newer).map(({ body }) => body['tags'])).toEqual(
      expect.arrayContaining([['a'], ['b']]),
    );
    expect(servicesOf(older).every(({ body }) => !('tags' in body))).toBe(true);
    expect([newer.size, older.size]).toEqual([3, 2]);
    expect((await manifests(1)).every(({ delta, revision }) => revision === 1 || delta)).toBe(true);
    await replay(1);
    await replay(2);
    await it_.close();
  });

  it('is kept from older data planes whole when one of its records is unfit, and said to be', async () => {
    const it_ = publisher(NEWER);
    const { id } = await service('one');
    await it_.flush();
    const before = await held(1);
    await write('update', 'services', { id, name: 'one', host: 'h.test', tags: ['guarded'] });
    await service('two');
    await it_.flush();
    expect(await revisionsAt(2)).toEqual([1, 2]);
    expect(await revisionsAt(1)).toEqual([1]);
    expect((await held(1)).hash).toBe(before.hash);
    const said = logs.find(({ message }) => message.startsWith('kept from data planes'));
    expect(said).toMatchObject({ level: 'warn', fields: { kind: 'services', id, revision: 2 } });

    // Fit again: older ones catch up, in one step from what they had.
    await write('update', 'services', { id, name: 'one', host: 'h.test', tags: [] });
    await it_.flush();
    expect(await revisionsAt(1)).toEqual([1, 3]);
    expect((await held(1)).hash).toBe(lowered(await held(2)).hash);
    await it_.close();
  });

  it('is published once more when the first control plane of a newer release comes', async () => {
    const [older, newer] = [publisher(OLDER), publisher(NEWER)];
    await service('one', ['a']);
    await older.flush();
    await newer.flush();
    expect(await revisionsAt(1)).toEqual([1, 2]);
    expect(await revisionsAt(2)).toEqual([2]);
    const { upserts, removals } = JSON.parse(must((await manifests(1))[1]?.delta, 'a delta'));
    expect([upserts, removals], 'nothing is new to older data planes').toEqual([[], []]);
    await rest(older, newer);
    await Promise.all([older.close(), newer.close()]);
  });

  it('is published once more after a release that knew of less to compare', async () => {
    const it_ = publisher(NEWER);
    await it_.flush();
    await db.store.db.query("UPDATE groups SET published_as = published_as - 'levels'");
    expect(await findBehind(db.store.db, REGISTRY, NEWER)).toEqual([group]);
    await it_.flush();
    expect(await revisionsAt(2)).toEqual([1, 2]);
    await it_.close();
  });

  it('catches up on what only the older release published in between', async () => {
    const [older, newer] = [publisher(OLDER), publisher(NEWER)];
    const { id } = await service('one', ['a']);
    await newer.flush();
    await service('two', ['b']);
    await older.flush();
    await write('update', 'services', { id, name: 'one', host: 'h2.test', tags: ['c'] });
    await older.flush();
    expect(await revisionsAt(2)).toEqual([1]);
    expect(await revisionsAt(1)).toEqual([1, 2, 3]);
    await newer.flush();
    expect(await revisionsAt(2)).toEqual([1, 4]);
    expect((await held(1)).hash).toBe(lowered(await held(2)).hash);
    expect((await manifests(2)).at(-1)?.delta, 'no delta over what is not there').toBeNull();
    await rest(older, newer);
    await Promise.all([older.close(), newer.close()]);
  });

  it('holds nothing any more of a workspace that was dropped while the older release published', async () => {
    const [older, newer] = [publisher(OLDER), publisher(NEWER)];
    const other = nodeRandom.uuid();
    await db.store.db.query('INSERT INTO workspace_versions (ws_id, version) VALUES ($1, 0)', [
      other,
    ]);
    await write('insert', 'services', { name: 'theirs', host: 'h.test' }, other);
    await service('ours');
    const serve = (ids: string[]) =>
      db.store.db.query('UPDATE groups SET workspaces = $1::uuid[]', [ids]);
    await serve([ws, other]);
    await newer.flush();
    expect((await held(2)).size).toBe(2);
    await serve([ws]);
    await older.flush();
    await newer.flush();
    expect([...(await held(2)).records()].map((record) => record.ws)).toEqual([ws]);
    expect((await held(1)).size).toBe(1);
    await Promise.all([older.close(), newer.close()]);
  });

  it('comes to rest between releases of which one never sends what the other counts', async () => {
    const known = new Map(REGISTRY.entities);
    const { wire: _never, ...counted } = must(known.get('clustering_groups'), 'groups');
    known.set('clustering_groups', counted);
    const counts: Registry = { ...REGISTRY, entities: known };
    await service('one');
    const other = { name: 'other', workspaces: [], labels: {}, settings: {} };
    await write('insert', 'clustering_groups', other, SYSTEM_WORKSPACE);
    const due = async (registry: Registry) => (await findBehind(db.store.db, registry)).length;
    expect(await due(counts)).toBeGreaterThan(0);
    const both = [REGISTRY, counts].map((registry) => publisherOf(registry));
    await rest(...both);
    await Promise.all(both.map((one) => one.close()));
  });

  it('stays in its epoch, whichever level a control plane or a data plane has seen', async () => {
    const [older, newer] = [publisher(OLDER), publisher(NEWER)];
    await service('one', ['a']);
    for (const one of [older, newer, older]) await one.flush();
    const epochOf = async () =>
      (await db.store.db.query<{ epoch: number }>('SELECT epoch FROM groups')).rows[0]?.epoch;
    const epoch = await epochOf();
    for (const level of [1, 2]) {
      const { revision, hash } = must((await manifests(level)).at(-1), 'a manifest');
      db.epochs.witness.forget(group);
      db.epochs.witness.saw(group, { epoch: epoch ?? 0, revision, hash });
      await db.epochs.claimed(group, { epoch: epoch ?? 0, revision, hash }, nodeRandom.uuid());
      await db.epochs.settle();
      for (const one of [older, newer]) {
        await service(`after ${level} ${String(one === older)}`);
        await one.flush();
      }
    }
    expect(await epochOf()).toBe(epoch);
    expect(logs.filter(({ message }) => message === 'publishing failed')).toEqual([]);
    await rest(older, newer);
    await Promise.all([older.close(), newer.close()]);
  });

  it('is kept and swept for each level by itself', async () => {
    const it_ = publisher(NEWER);
    for (let i = 0; i < MANIFESTS_KEPT_MIN + 3; i++) {
      await service(`s${i}`, [`t${i}`]);
      await it_.flush();
    }
    await db.store.db.query("UPDATE manifests SET created_at = now() - interval '25 hours'");
    await sweepRetired(db.store.db);
    for (const level of [1, 2]) {
      expect(await manifests(level)).toHaveLength(MANIFESTS_KEPT_MIN);
      await held(level);
      const { rows } = await db.store.db.query(
        'SELECT 1 FROM group_nodes WHERE group_id = $1 AND level = $2',
        [group, level],
      );
      expect(rows).toHaveLength(MANIFESTS_KEPT_MIN);
    }
    await it_.close();
  });
});

function publisherOf(registry: Registry, levels: Levels = OLDER): Publisher {
  return new Publisher({
    store: db.store,
    keyring: db.keyring,
    crypto: nodeCrypto,
    registry,
    levels,
    clock: nodeClock,
    random: nodeRandom,
    epochs: db.epochs,
    pollMs: 60_000,
    logger: { log: (level, message, fields = {}) => void logs.push({ level, message, fields }) },
  });
}

describe('any history of two releases on one database', () => {
  const seeds = Number(process.env['HEADGATE_LEVEL_SEEDS'] ?? 2);
  const first = Number(process.env['HEADGATE_LEVEL_SEED'] ?? Math.floor(Math.random() * 1e6));
  it.each(Array.from({ length: seeds }, (_, i) => first + i))(
    'has at the lower level what the higher one comes to: seed %i',
    async (seed) => {
      const random = new SeededRandom(seed);
      const [older, newer] = [publisher(OLDER), publisher(NEWER)];
      const ids: string[] = [];
      const change = async (step: number): Promise<void> => {
        const dice = random.below(10);
        const tags = random.chance(0.5) ? [`t${step}`] : [];
        const id = ids[random.below(ids.length)];
        if (dice < 4 || id === undefined) ids.push((await service(`s${step}`, tags)).id);
        else if (dice < 6)
          await write('update', 'services', { id, name: `u${step}`, host: 'h.test', tags });
        else if (dice < 7) {
          ids.splice(ids.indexOf(id), 1);
          const definition = must(REGISTRY.entities.get('services'), 'services');
          await db.store.write(ws, ACTOR, (tx) => tx.remove(definition, ws, id));
        } else if (dice < 8) await write('insert', 'consumers', { username: `c${step}` });
        else if (dice < 9)
          await db.store.db.query('UPDATE groups SET secret_generation = secret_generation + 1');
        else {
          const one = random.chance(0.5) ? [] : [ws];
          await db.store.db.query('UPDATE groups SET workspaces = $1::uuid[]', [one]);
        }
      };
      for (let step = 0; step < 25; step++) {
        for (let i = random.below(3); i >= 0; i--) await change(step * 10 + i);
        if (random.chance(0.5)) await older.flush();
        if (random.chance(0.2)) continue;
        await newer.flush();
        expect((await held(1)).hash, `step ${step}`).toBe(lowered(await held(2)).hash);
      }
      await rest(older, newer);
      await replay(1);
      await replay(2);
      expect(publishedLevels(NEWER)).toEqual([2, 1]);
      await Promise.all([older.close(), newer.close()]);
    },
    60_000,
  );
});
