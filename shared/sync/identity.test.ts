import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import {
  identityText,
  parseIdentity,
  textIdentityStore,
  type NodeIdentity,
  type PendingIdentity,
} from './identity.ts';

const random = new SeededRandom(1);
const pair = () => ({ privateKey: random.bytes(32), publicKey: random.bytes(32) });
const pending: PendingIdentity = {
  tag: 'pending',
  token: random.uuid(),
  signing: pair(),
  sealing: pair(),
};
const joined: NodeIdentity = {
  tag: 'joined',
  cluster: random.uuid(),
  node: random.uuid(),
  group: 'default',
  groupId: random.uuid(),
  rootKey: random.bytes(32),
  signing: pair(),
  sealing: pair(),
  joinSeq: 7,
  groupSecrets: [{ generation: 2, secret: random.bytes(32) }],
  highWater: { epoch: 1, revision: 9 },
  keySequence: 3,
};

describe('an identity', () => {
  it.each([pending, joined])('is read as it was written: $tag', (identity) => {
    expect(parseIdentity(identityText(identity))).toEqual(identity);
  });

  it.each([pending, joined])(
    'is none with any of its members gone or damaged: $tag',
    (identity) => {
      const value = JSON.parse(identityText(identity));
      for (const name of Object.keys(value)) {
        const { [name]: _, ...rest } = value;
        expect(parseIdentity(JSON.stringify(rest))).toBeNull();
        expect(parseIdentity(JSON.stringify({ ...rest, [name]: { x: 'AAAA' } }))).toBeNull();
      }
      const text = identityText(identity);
      expect(parseIdentity(text.replace('"public_key":"', '"public_key":"A'))).toBeNull();
      expect(parseIdentity(text.slice(0, -1))).toBeNull();
      expect(parseIdentity('')).toBeNull();
      expect(parseIdentity('null')).toBeNull();
    },
  );

  it('in a store is null when there is none, and an error when it is damaged', async () => {
    let text: string | null = null;
    const store = textIdentityStore({
      read: async () => text,
      write: async (written) => {
        text = written;
      },
    });
    expect(await store.load()).toBeNull();
    await store.save(joined);
    expect(await store.load()).toEqual(joined);
    text = 'garbage';
    await expect(store.load()).rejects.toThrow('damaged');
  });
});
