/** What it costs to find a request's route and a target for it, by the number of routes. */
import { must } from '../base/assert.ts';
import type { Choice } from '../balancer/algorithm.ts';
import { HeaderList } from '../http/headers.ts';
import { nodeClock } from '../platform/node/clock.ts';
import type { RequestFacts } from '../router/facts.ts';
import { bindRoute } from '../tables/bind-route.ts';
import type { Tables } from '../tables/tables.ts';
import { TestConfig } from '../../test/support/builders.ts';
import { balancerFor } from './upstream.ts';

const HOST_COUNT = 1000;
const TARGET_COUNT = 10;
/** Requests go through the routes in steps of a prime, so that neighbours are far apart. */
const STRIDE = 7919;

/** So many routes over a thousand hosts, all to one Upstream of ten targets. */
export class RoutingCost {
  readonly #tables: Tables;
  readonly #count: number;
  #asked = 0;

  constructor(count: number) {
    const config = new TestConfig();
    const upstream = config.add('upstreams', { name: 'pool' });
    for (let i = 0; i < TARGET_COUNT; i += 1) {
      config.add('targets', { target: `10.0.0.${i}:80`, upstream: { id: upstream.id } });
    }
    const service = { id: config.service({ host: 'pool' }).id };
    for (let i = 0; i < count; i += 1) {
      config.route({ hosts: [`host${i % HOST_COUNT}.test`], paths: [`/svc${i}`], service });
    }
    this.#count = count;
    this.#tables = config.tables();
    const { env, upstreams } = this.#tables.parts;
    env.health.adopt(upstreams.byName.winners, upstreams.step, nodeClock.monotonic());
    // The first visit binds a route.
    for (let i = 0; i < count; i += 1) this.#one();
  }

  /** Nanoseconds per request: matched, bound, balanced, counted to its target and away again. */
  batch(requests: number): number {
    const beganAt = performance.now();
    for (let i = 0; i < requests; i += 1) this.#one();
    return ((performance.now() - beganAt) * 1e6) / requests;
  }

  #one(): void {
    this.#asked += 1;
    const number = (this.#asked * STRIDE) % this.#count;
    const tables = this.#tables;
    const match = must(tables.router.match(factsOf(number)), 'a match');
    const routed = must(bindRoute(match.entry, tables), 'a bound route');
    const balancer = balancerFor(tables, must(routed.target, 'a service'));
    const nowMs = nodeClock.monotonic();
    balancer.ready(null, nodeClock, nowMs);
    const choice: Choice = { tried: null, activeMax: 100, hashValue: '', nowMs };
    const peer = must(balancer.pick(choice), 'a target');
    balancer.state.began(peer);
    balancer.state.ended(peer);
  }
}

function factsOf(number: number): RequestFacts {
  const host = `host${number % HOST_COUNT}.test`;
  return {
    method: 'GET',
    host,
    path: `/svc${number}/abc`,
    query: null,
    scheme: 'http',
    headers: NO_HEADERS,
    sni: null,
    sourceAddress: '127.0.0.1',
    sourcePort: 40_000,
    address: '127.0.0.1',
    port: 8000,
  };
}

const NO_HEADERS = new HeaderList();

/** Medians of batches taken in turn: what else the machine does falls into few, and into all alike. */
export function medianCosts(counts: readonly number[], batches = 101, requests = 1000): number[] {
  const costs = counts.map((count) => ({ of: new RoutingCost(count), ns: [] as number[] }));
  for (let round = -WARM_UP_BATCHES; round < batches; round += 1) {
    for (const { of, ns } of costs) {
      const cost = of.batch(requests);
      if (round >= 0) ns.push(cost);
    }
  }
  return costs.map(({ ns }) => must(ns.toSorted((a, b) => a - b)[batches >> 1], 'a batch'));
}

const WARM_UP_BATCHES = 30;
