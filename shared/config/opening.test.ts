import { beforeEach, describe, expect, it } from 'vitest';
import { ScriptedControlPlane } from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { must } from '../base/assert.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import type { JsonObject } from '../schema/field.ts';
import { SecretOpener } from './opening.ts';
import { makeRecord, type ConfigRecord, type RecordKey, type Replica } from './record.ts';
import { makeState, toStored, verifyHead, type ReplicaState } from './replica.ts';
import { sealingKey, sealSecrets } from './sealed-secrets.ts';
import type { GroupSecret } from './secrets.ts';

const FIRST: GroupSecret = { generation: 1, secret: new Uint8Array(32).fill(1) };
const SECOND: GroupSecret = { generation: 2, secret: new Uint8Array(32).fill(2) };
const STRANGER: GroupSecret = { generation: 1, secret: new Uint8Array(32).fill(9) };

let cp: ScriptedControlPlane;
let opener: SecretOpener;
let decrypted: number;

beforeEach(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(11));
  decrypted = 0;
  opener = new SecretOpener({
    ...crypto,
    decrypt: (...args) => {
      decrypted += 1;
      return crypto.decrypt(...args);
    },
  });
});

function entity(id: string, body: JsonObject = {}): ConfigRecord {
  const key = { kind: 'certificates', ws: 'w', id, placement: id };
  return makeRecord(key, { key: null, cert: 'c', ...body, id }, crypto);
}

async function companion(of: RecordKey, secret: string, by: GroupSecret = FIRST) {
  const { cluster, groupId } = cp.pinned;
  const key = await sealingKey(by.secret, { cluster, groupId, generation: by.generation }, crypto);
  return sealSecrets(of, { '/key': secret }, key, crypto);
}

async function publish(upserts: ConfigRecord[], removals: RecordKey[] = []): Promise<ReplicaState> {
  const published = await cp.publish(upserts, removals);
  const verified = await verifyHead(published.head, cp.pinned, crypto);
  if (!verified.ok) throw new Error(verified.detail);
  const made = makeState(verified.head, published.tree);
  if (!made.ok) throw new Error(made.detail);
  return made.state;
}

function find(replica: Replica, id: string): ConfigRecord {
  return must([...replica.tree.records()].find((record) => record.id === id) ?? null, id);
}

describe('opening secrets', () => {
  it('puts them into their entities, whose own records disappear', async () => {
    const state = await publish([entity('a'), await companion(entity('a'), 'hidden'), entity('b')]);
    const { tree } = await opener.open(state, [FIRST]);
    expect([...tree.records()].map(({ kind, id, body }) => [kind, id, body['key']])).toEqual(
      expect.arrayContaining([
        ['certificates', 'a', 'hidden'],
        ['certificates', 'b', null],
      ]),
    );
    expect(tree.size).toBe(2);
  });

  it('leaves nothing of them in what is kept and passed on', async () => {
    const state = await publish([entity('a'), await companion(entity('a'), 'hidden')]);
    const { tree } = await opener.open(state, [FIRST]);
    expect([...toStored(state).nodes.values()].join()).not.toContain('hidden');
    expect([...tree.nodes()].map(({ text }) => text).join()).not.toContain('hidden');
  });

  it.each([
    ['no secret', [], 'generation 1 is missing'],
    ['another generation only', [SECOND], 'generation 1 is missing'],
    ['the secret of another group', [STRANGER], 'cannot be opened with the group secret'],
  ])('names what stays shut with %s, and opens it when the secret comes', async (_n, held, why) => {
    const state = await publish([entity('a'), await companion(entity('a'), 'hidden'), entity('b')]);
    const shut = await opener.open(state, held);
    expect(find(shut, 'a')).toMatchObject({
      body: { key: null },
      fault: expect.stringMatching(why),
    });
    expect(find(shut, 'b').fault).toBeUndefined();
    const open = await opener.open(state, [FIRST]);
    expect(find(open, 'a').body['key']).toBe('hidden');
    expect(find(open, 'a').fault).toBeUndefined();
    const { added } = open.tree.changes(shut.tree);
    expect(added.map(({ id }) => id)).toEqual(['a']);
  });

  it('costs what changed: all else keeps its record, and nothing is opened twice', async () => {
    const first: ConfigRecord[] = [];
    for (let i = 0; i < 400; i += 1) {
      first.push(entity(`e${i}`), await companion(entity(`e${i}`), `secret ${i}`));
    }
    const before = await opener.open(await publish(first), [FIRST]);
    expect(decrypted).toBe(400);
    const state = await publish(
      [await companion(entity('e7'), 'other'), entity('e8', { cert: 'd' }), entity('new')],
      [entity('e9'), await companion(entity('e9'), ''), await companion(entity('e10'), '')],
    );
    const after = await opener.open(state, [FIRST]);
    expect(decrypted).toBe(401);
    const { added, removed } = after.tree.changes(before.tree);
    expect(added.map(({ id }) => id).toSorted()).toEqual(['e10', 'e7', 'e8', 'new']);
    expect(removed.map(({ id }) => id).toSorted()).toEqual(['e10', 'e7', 'e8', 'e9']);
    expect(find(after, 'e7').body['key']).toBe('other');
    expect(find(after, 'e8').body).toMatchObject({ key: 'secret 8', cert: 'd' });
    expect(find(after, 'e10').body['key']).toBeNull();
    const kept = new Set(before.tree.records());
    expect([...after.tree.records()].filter((record) => kept.has(record))).toHaveLength(396);
  });

  it('answers the same as opening all of it anew', async () => {
    const random = new SeededRandom(23);
    for (let round = 0; round < 60; round += 1) {
      const upserts: ConfigRecord[] = [];
      const removals: RecordKey[] = [];
      for (let n = 0; n < 5; n += 1) {
        const record = entity(`e${Math.floor(random.next() * 40)}`, { cert: `c${random.next()}` });
        const beside = await companion(record, `s${Math.floor(random.next() * 3)}`);
        for (const each of [record, beside]) {
          if (random.next() < 0.3) removals.push(each);
          else if (random.next() < 0.7) upserts.push(each);
        }
      }
      const state = await publish(upserts, removals);
      const step = await opener.open(state, [FIRST]);
      const anew = await new SecretOpener(crypto).open(state, [FIRST]);
      expect(step.tree.hash).toBe(anew.tree.hash);
      expect([...step.tree.records()].map(({ body }) => body)).toEqual(
        [...anew.tree.records()].map(({ body }) => body),
      );
    }
  });

  it('may be asked for several states at once', async () => {
    const one = await publish([entity('a'), await companion(entity('a'), 'one')]);
    const two = await publish([await companion(entity('a'), 'two')]);
    const opened = await Promise.all([one, two, one].map((state) => opener.open(state, [FIRST])));
    expect(opened.map((replica) => find(replica, 'a').body['key'])).toEqual(['one', 'two', 'one']);
  });

  it('takes secrets of two generations side by side', async () => {
    const state = await publish([
      entity('a'),
      await companion(entity('a'), 'old'),
      entity('b'),
      await companion(entity('b'), 'new', SECOND),
    ]);
    const replica = await opener.open(state, [SECOND, FIRST]);
    expect([find(replica, 'a').body['key'], find(replica, 'b').body['key']]).toEqual([
      'old',
      'new',
    ]);
  });

  it('names an entity in which a secret has no place', async () => {
    const record = makeRecord(
      { kind: 'certificates', ws: 'w', id: 'a', placement: 'a' },
      { id: 'a', cert: 'c' },
      crypto,
    );
    const state = await publish([record, await companion(record, 'hidden')]);
    expect(find(await opener.open(state, [FIRST]), 'a').fault).toMatch(/no place/);
  });
});
