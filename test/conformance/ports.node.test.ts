/** The port suites on the Node implementations. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { Clock } from '#shared/platform/platform.ts';
import { FileConfigStore } from '../../node-dp/config-store.ts';
import { MemoryCounters } from '#shared/platform/memory-counters.ts';
import { NodeTransport } from '../../node-dp/transport.ts';
import { startEchoUpstream } from '../support/echo-upstream.ts';
import { configStoreSuite } from './config-store.suite.ts';
import { counterStoreSuite } from './counter-store.suite.ts';
import { cryptoSuite } from './crypto.suite.ts';
import { transportSuite } from './transport.suite.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterAll(() => Promise.all(cleanups.map((cleanup) => cleanup())));

cryptoSuite('node', nodeCrypto);

counterStoreSuite('memory', () => {
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

configStoreSuite('file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-store-'));
  cleanups.push(() => rm(folder, { recursive: true }));
  const path = join(folder, 'config.json');
  return { store: new FileConfigStore(path), reopen: () => new FileConfigStore(path) };
});

transportSuite('undici', async () => {
  const upstream = await startEchoUpstream();
  const transport = new NodeTransport();
  cleanups.push(async () => transport.close());
  cleanups.push(() => upstream.close());
  return {
    transport,
    host: upstream.host,
    port: upstream.port,
    closedPort: await closedPort(),
    limits: {
      knowsConnectFailures: true,
      keepsFieldOrder: true,
      choosesHost: true,
      seesCodings: true,
    },
  };
});

function closedPort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
