/**
 * What the request path costs by itself: an instant transport, no sockets.
 *
 *     node shared/proxy/handle.bench.ts [requests per round]
 */
import { TestConfig } from '../../test/support/builders.ts';
import { MemoryCounters, request } from '../../test/support/fake-platform.ts';
import { HeaderList } from '../http/headers.ts';
import { nodeClock } from '../platform/node/clock.ts';
import { nodeCrypto } from '../platform/node/crypto.ts';
import { nodeRandom } from '../platform/node/random.ts';
import type { Platform } from '../platform/platform.ts';
import { Gateway } from './gateway.ts';
import { medianCosts } from './routing-cost.suite.ts';
import { PROXY_SETTINGS_DEFAULT } from './settings.ts';

const ROUNDS = 5;
const REQUESTS = Number(process.argv[2] ?? 50_000);
const BODY = new Uint8Array(96);

const platform: Platform = {
  clock: nodeClock,
  random: nodeRandom,
  crypto: nodeCrypto,
  counters: new MemoryCounters(nodeClock),
  logger: { log: () => {} },
  resolver: null,
  bodyMemory: null,
  background: () => {},
  transport: {
    send: () =>
      Promise.resolve({
        status: 200,
        tunnel: null,
        headers: new HeaderList([
          'Content-Type',
          'text/plain',
          'Content-Length',
          '96',
          'Date',
          'Tue, 10 Mar 2026 12:00:00 GMT',
          'Connection',
          'keep-alive',
        ]),
        body: BODY,
      }),
  },
};

const HEADERS = {
  'User-Agent': 'bench',
  Accept: '*/*',
  'Accept-Encoding': 'gzip',
  Connection: 'keep-alive',
  apikey: 'ann-key',
};

async function measure(name: string, config: TestConfig, hasLog = false): Promise<void> {
  const gateway = new Gateway({
    platform,
    settings: PROXY_SETTINGS_DEFAULT,
    accessLog: hasLog ? () => {} : null,
  });
  gateway.swap(config.tables());
  const outcome = { complete: true, bytesSent: BODY.length };
  let best = Infinity;
  for (let round = 0; round <= ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < REQUESTS; i++) {
      const response = await gateway.handle(request('/api/items/42?q=1', { headers: HEADERS }));
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      response.onFinish(outcome);
    }
    if (round > 0) best = Math.min(best, performance.now() - start);
  }
  console.log(`${name.padEnd(44)} ${((best * 1000) / REQUESTS).toFixed(2)} µs per request`);
}

function routed(): TestConfig {
  const config = new TestConfig();
  for (let i = 0; i < 100; i++) config.route({ paths: [`/path${i}`] });
  config.route({ paths: ['/api'] });
  return config;
}

function protectedBy(...names: readonly string[]): TestConfig {
  const config = routed();
  config.consumer('ann', 'ann-key');
  for (const name of names) {
    config.plugin(name, name === 'rate-limiting' ? { minute: 1e9 } : {});
  }
  return config;
}

let start = performance.now();
for (let i = 0; i < REQUESTS; i++) request('/api/items/42?q=1', { headers: HEADERS });
start = performance.now() - start;
console.log(`(making the request itself: ${((start * 1000) / REQUESTS).toFixed(2)} µs)`);
await measure('no plugins', routed());
await measure('no plugins, access log', routed(), true);
await measure('key-auth', protectedBy('key-auth'));
await measure('rate-limiting', protectedBy('rate-limiting'));
await measure('key-auth + rate-limiting', protectedBy('key-auth', 'rate-limiting'));
await measure(
  'all but response-transformer',
  protectedBy('key-auth', 'rate-limiting', 'correlation-id'),
);

const COUNTS = [1, 1_000, 100_000];
for (const [i, ns] of medianCosts(COUNTS).entries()) {
  const name = `routing and balancing, ${COUNTS[i]} routes`;
  console.log(`${name.padEnd(44)} ${(ns / 1e3).toFixed(2)} µs per request`);
}
