import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { ConfigHub } from './config-hub.ts';
import { HubStore } from './hub-store.ts';
import { IsolateLevels, OLDER_MS } from './isolate-levels.ts';
import { keep, recordOf, TestCluster } from './signed-config.suite.ts';

describe('the level that a deployment asks for', () => {
  /** A hub's storage, and a clock that is set by hand. */
  const inHub = (
    work: (
      start: (held: number | null, newest: number) => IsolateLevels,
      clock: { ms: number },
    ) => void,
  ): Promise<void> => {
    const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
    return runInDurableObject(stub, (_hub, state) => {
      const clock = { ms: 1_700_000_000_000 };
      const store = new HubStore(state.storage);
      store.setMeta('isolate_levels', '');
      const now = (): number => clock.ms;
      work((held, newest) => new IsolateLevels(store, { now }, held, newest), clock);
    });
  };

  it('is the newest at once where there was no release before', () =>
    inHub((start) => expect(start(null, 2).level).toBe(2)));

  it('stays what it was for a while after a new release, for isolates of the one before', () =>
    inHub((start, clock) => {
      expect(start(1, 1).level).toBe(1);
      const levels = start(1, 2);
      expect(levels.level).toBe(1);
      clock.ms += OLDER_MS - 1;
      levels.heard(2);
      expect(levels.level).toBe(1);
      // Evicted meanwhile: that is not another release.
      expect(start(1, 2).level).toBe(1);
      clock.ms += 1;
      expect(start(1, 2).level).toBe(2);
    }));

  it('is what the older isolates read as long as they are heard, and again when one comes late', () =>
    inHub((start, clock) => {
      const levels = start(1, 2);
      for (let i = 0; i < 5; i++) {
        clock.ms += OLDER_MS / 2;
        levels.heard(undefined);
        levels.heard(2);
        expect(levels.level).toBe(1);
      }
      clock.ms += OLDER_MS;
      expect(levels.level).toBe(2);
      levels.heard(1);
      expect(levels.level).toBe(1);
      expect(start(2, 2).level).toBe(1);
    }));

  it('does not follow nonsense', () =>
    inHub((start) => {
      const levels = start(null, 2);
      for (const level of [-1, 0.5, Number.NaN, 7]) levels.heard(level);
      expect(levels.level).toBe(2);
    }));
});

describe('an isolate of an older release', () => {
  it('is not given a head that it cannot read, nor told that what it has is the newest', async () => {
    const cluster = await TestCluster.create();
    const service = { id: crypto.randomUUID(), name: 'echo', url: 'http://127.0.0.1:9' };
    const config = await cluster.sign(4, [recordOf('services', service)]);
    const identity = await cluster.identity();
    const hub: DurableObjectStub<ConfigHub> = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
    await runInDurableObject(hub, (_hub, state) => keep(state.storage, identity, config));
    await evictDurableObject(hub);
    const known = { hash: '', bootMark: '' };
    const older = await hub.head({ ...known, level: 0 });
    expect([older.head, older.provenAgeMs]).toEqual([null, null]);
    expect(older.boot).toEqual(cluster.boot);
    const same = await hub.head({ ...known, level: 1 });
    expect(same.head).toEqual(config.head);
    expect(same.provenAgeMs).not.toBeNull();
    expect((await hub.head(known)).head, 'one that does not say').toEqual(config.head);
  });

  it('does not keep a hub from starting whose head was damaged', async () => {
    const hub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
    const damaged = { manifest: '{', signature: '', key_list: '', key_list_signature: '' };
    await runInDurableObject(hub, (_hub, state) => {
      new HubStore(state.storage).setMeta('head', JSON.stringify(damaged));
    });
    await evictDurableObject(hub);
    expect((await hub.head({ hash: '', bootMark: '' })).head).toBeNull();
  });
});
