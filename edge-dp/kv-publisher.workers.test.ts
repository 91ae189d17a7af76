import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { HubStore } from './hub-store.ts';
import { KvConfig } from './kv-config.ts';
import { HEAD_INTERVAL_MS, KvPublisher } from './kv-publisher.ts';
import { edgeClock } from './platform.ts';

const head = (name: string) => ({
  manifest: `manifest ${name}`,
  signature: `signature ${name}`,
  key_list: 'keys',
  key_list_signature: 'signature of keys',
});
const node = (id: string) => ({ id, text: `text of ${id}` });

/** The real namespace, with a record of what is written to it, and a switch to make it fail. */
class RecordingKv {
  readonly written: { key: string; at: number }[] = [];
  isFailing = false;

  readonly namespace: KVNamespace = new Proxy(env.HEADGATE_CONFIG, {
    get: (target, name) => {
      if (name !== 'put') return Reflect.get(target, name).bind(target);
      return async (key: string, value: string) => {
        if (this.isFailing) throw new Error('429 Too Many Requests');
        await target.put(key, value);
        this.written.push({ key: key.split('/').at(-1) ?? '', at: Date.now() });
      };
    },
  });
}

function inHub(
  work: (parts: { store: HubStore; publisher: KvPublisher; kv: RecordingKv }) => Promise<void>,
): Promise<void> {
  const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
  return runInDurableObject(stub, async (_hub, state) => {
    const kv = new RecordingKv();
    const store = new HubStore(state.storage);
    const config = new KvConfig(kv.namespace, crypto.randomUUID());
    const clock = { ...edgeClock, setTimer: shortTimer };
    const publisher = new KvPublisher(store, config, clock, { log: () => undefined });
    await work({ store, publisher, kv });
  });
}

/** Waits that only a failure asks for are cut short. */
function shortTimer(delayMs: number, fn: () => void): () => void {
  return edgeClock.setTimer(Math.min(delayMs, HEAD_INTERVAL_MS), fn);
}

describe('publishing to KV', () => {
  it('writes the nodes first and the pointer last', () =>
    inHub(async ({ store, publisher, kv }) => {
      const nodes = Array.from({ length: 250 }, (_, i) => node(`n${i}`));
      store.saveHead(head('1'), nodes, [], 0);

      await publisher.publish();

      expect(kv.written.length).toBe(251);
      expect(kv.written.at(-1)?.key).toBe('head');
    }));

  it('writes only what is new', () =>
    inHub(async ({ store, publisher, kv }) => {
      store.saveHead(head('1'), [node('a'), node('b')], [], 0);
      await publisher.publish();
      kv.written.length = 0;
      store.saveHead(head('2'), [node('c')], ['a'], 0);

      await publisher.publish();
      await publisher.publish();

      expect(kv.written.map(({ key }) => key)).toEqual(['c', 'head']);
    }));

  it('writes the pointer at most once a second, and the newest one in the end', () =>
    inHub(async ({ store, publisher, kv }) => {
      const done: Promise<void>[] = [];
      for (let i = 0; i < 20; i++) {
        store.saveHead(head(String(i)), [node(`n${i}`)], [], 0);
        done.push(publisher.publish());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await Promise.all(done);

      const heads = kv.written.filter(({ key }) => key === 'head');
      expect(heads.length).toBeLessThanOrEqual(3);
      for (const [i, { at }] of heads.entries()) {
        const before = heads[i - 1];
        if (before !== undefined)
          expect(at - before.at).toBeGreaterThanOrEqual(HEAD_INTERVAL_MS - 20);
      }
      expect(store.getMeta('kv_head')).toBe('signature 19');
      expect(kv.written.filter(({ key }) => key !== 'head').length).toBe(20);
    }));

  it('leaves the pointer as it is while KV takes no nodes, and makes up for it later', () =>
    inHub(async ({ store, publisher, kv }) => {
      store.saveHead(head('1'), [node('a')], [], 0);
      kv.isFailing = true;
      await publisher.publish();
      expect(kv.written).toEqual([]);
      kv.isFailing = false;

      await publisher.publish();

      expect(kv.written.map(({ key }) => key)).toEqual(['a', 'head']);
    }));
});
