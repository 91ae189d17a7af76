/**
 * What one choice costs, by algorithm and number of targets, with the counting before and after it.
 *
 *     node shared/balancer/balancer.bench.ts [picks per round]
 */
import { upstreamOf } from './balancer.suite.ts';
import { Balancer } from './balancer.ts';
import { observeLatency } from './latency.ts';
import type { Peer } from './peer.ts';
import { targetKey } from './target.ts';
import { NOBODY, UpstreamState } from './upstream-state.ts';

const PICKS = Number(process.argv[2] ?? 300_000);
const ROUNDS = 5;
/** Requests under way at a time. */
const UNDER_WAY = 64;
const VALUES = Array.from({ length: 4096 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);
const HASHED = { hash_on: 'ip' };

function poolOf(count: number, input: Parameters<typeof upstreamOf>[0]): Balancer {
  const state = new UpstreamState('ws', 'pool.test', NOBODY);
  const targets = Array.from({ length: count }, (_, i) => {
    const host = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    return { key: targetKey(host, 80), host, port: 80, weight: 50 + (i % 100) };
  });
  const balancer = new Balancer(state, upstreamOf(input), targets, null);
  state.adopt(balancer, 0);
  return balancer;
}

function measure(name: string, count: number, input: Parameters<typeof upstreamOf>[0]): void {
  const balancer = poolOf(count, input);
  const { state } = balancer;
  const underWay: Peer[] = [];
  let best = Infinity;
  let nowMs = 0;
  for (let round = 0; round <= ROUNDS; round += 1) {
    const started = performance.now();
    for (let i = 0; i < PICKS; i += 1) {
      const hashValue = VALUES[i & 4095] ?? '';
      const choice = { tried: null, activeMax: 8192, hashValue, nowMs };
      const peer = balancer.pick(choice);
      if (peer === null) throw new Error('nobody to pick');
      state.began(peer);
      underWay.push(peer);
      nowMs += 0.01;
      if (underWay.length < UNDER_WAY) continue;
      const over = underWay[i % UNDER_WAY] ?? peer;
      underWay[i % UNDER_WAY] = peer;
      underWay.pop();
      observeLatency(over, 5, nowMs);
      state.ended(over);
    }
    if (round > 0) best = Math.min(best, performance.now() - started);
  }
  const text = `${name}, ${count.toLocaleString('en')} targets`;
  console.log(`${text.padEnd(44)} ${((best * 1000) / PICKS).toFixed(2)} µs per request`);
}

function measureChange(count: number, input: Parameters<typeof upstreamOf>[0], name: string): void {
  const balancer = poolOf(count, input);
  const choice = { tried: null, activeMax: 8192, hashValue: '', nowMs: 0 };
  for (const hashValue of VALUES) balancer.pick({ ...choice, hashValue });
  const first = balancer.pick(choice);
  if (first === null) throw new Error('nobody to pick');
  let best = Infinity;
  for (let round = 0; round < 20; round += 1) {
    balancer.state.epoch += 1;
    const started = performance.now();
    balancer.pick(choice);
    best = Math.min(best, performance.now() - started);
  }
  console.log(`${`a change of health: ${name}, ${count}`.padEnd(44)} ${best.toFixed(3)} ms`);
}

for (const count of [2, 10, 100, 1000, 10_000]) {
  measure('round-robin', count, {});
  measure('least-connections', count, { algorithm: 'least-connections' });
  measure('latency', count, { algorithm: 'latency' });
  measure('consistent-hashing', count, HASHED);
}
for (const count of [10, 1000, 10_000]) {
  measureChange(count, {}, 'round-robin');
  measureChange(count, HASHED, 'consistent-hashing');
}
