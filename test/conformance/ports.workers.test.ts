/** The port suites on what the Worker uses, inside workerd. */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { inject } from 'vitest';
import type { Clock, ConfigStore } from '#shared/platform/platform.ts';
import { MemoryCounters } from '#shared/platform/memory-counters.ts';
import { edgeCrypto } from '../../edge-dp/crypto.ts';
import { HubStore } from '../../edge-dp/hub-store.ts';
import { edgeClock } from '../../edge-dp/platform.ts';
import { FetchTransport } from '../../edge-dp/transport.ts';
import { configStoreSuite } from './config-store.suite.ts';
import { counterStoreSuite } from './counter-store.suite.ts';
import { cryptoSuite } from './crypto.suite.ts';
import { transportSuite } from './transport.suite.ts';

cryptoSuite('workerd', edgeCrypto);

counterStoreSuite('isolate', () => {
  let nowMs = 1_800_000_000_000;
  const clock: Clock = {
    now: () => nowMs,
    monotonic: () => nowMs,
    setTimer: () => () => {},
  };
  return {
    counters: new MemoryCounters(clock, 1000),
    now: () => nowMs,
    advance: (ms) => {
      nowMs += ms;
    },
  };
});

configStoreSuite('SQLite of a Durable Object', () => {
  const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
  const inside = <T>(work: (store: ConfigStore) => Promise<T>): Promise<T> =>
    runInDurableObject(stub, (_hub, state) => work(new HubStore(state.storage)));
  const store: ConfigStore = {
    load: () => inside((inner) => inner.load()),
    save: (config) => inside((inner) => inner.save(config)),
  };
  return { store, reopen: () => store };
});

transportSuite('fetch', async () => ({
  transport: new FetchTransport(edgeClock),
  ...inject('echo'),
  limits: {
    knowsConnectFailures: false,
    keepsFieldOrder: false,
    choosesHost: false,
    seesCodings: false,
  },
}));
