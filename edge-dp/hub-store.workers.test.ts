import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { HubStore, partsOf, RETENTION_MS } from './hub-store.ts';

/** A store on the SQLite of a Durable Object of its own. */
function inStore(work: (store: HubStore) => void | Promise<void>): Promise<void> {
  const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
  return runInDurableObject(stub, (_hub, state) => work(new HubStore(state.storage)));
}

const head = (name: string) => ({
  manifest: `manifest ${name}`,
  signature: `signature ${name}`,
  key_list: 'keys',
  key_list_signature: 'signature of keys',
});
const node = (id: string, text = `text of ${id}`) => ({ id, text });
const NOW = 1_700_000_000_000;

describe('what the hub keeps', () => {
  it('is nothing at first', () =>
    inStore(async (store) => {
      expect(store.head()).toBeNull();
      expect(await store.load()).toBeNull();
    }));

  it('comes back as it was saved', () =>
    inStore(async (store) => {
      store.saveHead(head('1'), [node('a'), node('b')], [], NOW);

      expect(store.head()).toEqual(head('1'));
      expect((await store.load())?.nodes).toEqual(
        new Map([
          ['a', 'text of a'],
          ['b', 'text of b'],
        ]),
      );
    }));

  it('holds a node larger than a row may be, to the last character', () =>
    inStore(async (store) => {
      const text = 'ä€😀'.repeat(700_000);

      store.saveHead(head('1'), [node('big', text)], [], NOW);

      expect((await store.load())?.nodes.get('big') === text).toBe(true);
      expect(store.nodes(['big'], 1)[0]?.text === text).toBe(true);
    }));

  it('keeps what the head dropped for a while, for isolates that still read it', () =>
    inStore(async (store) => {
      store.saveHead(head('1'), [node('a'), node('b')], [], NOW);
      store.saveHead(head('2'), [node('c')], ['a'], NOW);

      expect([...((await store.load())?.nodes.keys() ?? [])]).toEqual(['b', 'c']);
      expect(store.nodes(['a'], 1000)).toEqual([node('a')]);
      expect(store.expired(NOW + RETENTION_MS)).toEqual([]);
      expect(store.expired(NOW + RETENTION_MS + 1)).toEqual([{ id: 'a', inKv: false }]);
      store.removeExpired(['a']);
      expect(store.nodes(['a'], 1000)).toEqual([]);
    }));

  it('does not sweep a node that came back', () =>
    inStore(async (store) => {
      store.saveHead(head('1'), [node('a')], [], NOW);
      store.markInKv(['a']);
      store.saveHead(head('2'), [node('b')], ['a'], NOW);
      const expired = store.expired(NOW + RETENTION_MS + 1);
      store.saveHead(head('3'), [node('a')], [], NOW);

      store.removeExpired(expired.map(({ id }) => id));

      expect(store.nodes(['a'], 1000)).toEqual([node('a')]);
      // Its copy in KV may be gone.
      expect(store.notInKv(10)).toContain('a');
    }));

  it('knows what KV lacks, also after KV was emptied', () =>
    inStore(async (store) => {
      const many = Array.from({ length: 250 }, (_, i) => node(`n${String(i).padStart(3, '0')}`));
      store.saveHead(head('1'), many, [], NOW);

      expect(store.notInKv(1000).length).toBe(250);
      store.markInKv(many.map(({ id }) => id));
      expect(store.notInKv(1000)).toEqual([]);
      store.forgetKv();
      expect(store.notInKv(100).length).toBe(100);
    }));

  it('answers no more nodes at a time than asked for, but always one', () =>
    inStore(async (store) => {
      store.saveHead(head('1'), [node('a', 'x'.repeat(60)), node('b', 'x'.repeat(60))], [], NOW);

      expect(store.nodes(['a', 'b'], 100).length).toBe(1);
      expect(store.nodes(['a', 'b'], 1).length).toBe(1);
      expect(store.nodes(['a', 'b'], 120).length).toBe(2);
    }));
});

describe('cutting a text', () => {
  it('never cuts a character in two', () => {
    const text = 'a😀b😀';

    for (const lengthMax of [2, 3, 4, 5]) {
      const parts = partsOf(text, lengthMax);
      expect(parts.join('')).toBe(text);
      for (const part of parts) expect(part.isWellFormed()).toBe(true);
    }
  });
});
