import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { must } from '../base/assert.ts';
import type { UpstreamState } from '../balancer/upstream-state.ts';
import { GONE_PEERS_MAX, REMEMBERED_MS } from '../balancer/upstream-state.ts';
import type { JsonObject } from '../schema/field.ts';
import { GONE_UPSTREAMS_MAX, type HealthChange, HealthRegistry } from './registry.ts';

const PASSIVE = { passive: { unhealthy: { tcp_failures: 2, http_failures: 2, timeouts: 2 } } };

/** A configuration with one Upstream, as a data plane serves it. */
class Pool {
  readonly config = new TestConfig();
  readonly registry = new HealthRegistry();
  readonly gateway = new TestGateway(null);
  readonly changes: HealthChange[] = [];
  upstreamId: string;
  readonly #targetIds = new Map<string, string>();
  readonly #input: JsonObject;

  constructor(targets: readonly string[], healthchecks: JsonObject = PASSIVE) {
    this.#input = { name: 'pool.test', healthchecks };
    this.upstreamId = this.config.add('upstreams', this.#input).id;
    const service = this.config.service({ host: 'pool.test', retries: 0 });
    this.config.route({ paths: ['/a'], service: { id: service.id } });
    for (const target of targets) this.add(target);
    this.registry.subscribe((change) => this.changes.push(change));
    this.swap();
  }

  add(target: string, weight = 100): void {
    const upstream = { id: this.upstreamId };
    this.#targetIds.set(target, this.config.add('targets', { target, weight, upstream }).id);
  }

  remove(target: string): void {
    this.config.remove('targets', must(this.#targetIds.get(target), `no ${target}`));
  }

  removeUpstream(): void {
    this.config.remove('upstreams', this.upstreamId);
  }

  restoreUpstream(): void {
    this.upstreamId = this.config.add('upstreams', this.#input).id;
  }

  swap(): void {
    const tables = this.config.tables(this.gateway.gateway.tables, { health: this.registry });
    this.gateway.gateway.swap(tables);
  }

  get state(): UpstreamState {
    return must(this.registry.find(this.config.ws, 'pool.test'), 'the Upstream is served');
  }

  fail(target: string, count = 2): void {
    for (const { peer } of this.#addresses(target)) {
      for (let i = 0; i < count; i += 1) {
        this.state.report(peer, { type: 'tcp_failure' }, 'passive');
      }
    }
  }

  words(): Record<string, string> {
    const clock = this.gateway.platform.clock;
    const health = this.registry.snapshot(this.config.ws, 'pool.test', clock.monotonic());
    return Object.fromEntries((health?.targets ?? []).map((each) => [each.target, each.health]));
  }

  /** Where so many requests go. */
  async hosts(count: number): Promise<Set<string>> {
    const { sent } = this.gateway.platform;
    sent.length = 0;
    for (let i = 0; i < count; i += 1) await this.gateway.get('/a');
    return new Set(sent.map(({ host }) => host));
  }

  #addresses(target: string) {
    const found = must(this.state.current, 'served').targets.find(({ key }) => key === target);
    return this.state.addressesOf(must(found, `no ${target}`)).known;
  }
}

const A = '10.0.0.1:80';
const B = '10.0.0.2:80';

describe('the health of an Upstream', () => {
  it('takes requests from an address that is unhealthy, and tells who listens', async () => {
    const pool = new Pool([A, B]);
    pool.fail(A);

    expect(await pool.hosts(4)).toEqual(new Set(['10.0.0.2']));
    expect(pool.words()).toEqual({ [A]: 'UNHEALTHY', [B]: 'HEALTHY' });
    expect(pool.changes).toMatchObject([
      { upstream: 'pool.test', isHealthy: false, cause: 'passive', peer: { target: A } },
    ]);
  });

  it('shows HEALTHCHECKS_OFF where nothing is checked, or nothing is sent', () => {
    const off = new Pool([A], {});
    off.fail(A, 10);
    expect(off.words()).toEqual({ [A]: 'HEALTHCHECKS_OFF' });
    const drained = new Pool([A]);
    drained.add(B, 0);
    drained.swap();
    expect(drained.words()).toEqual({ [A]: 'HEALTHY', [B]: 'HEALTHCHECKS_OFF' });
  });

  it('answers 503 when nobody is left', async () => {
    const pool = new Pool([A, B]);
    pool.fail(A);
    pool.fail(B);
    const got = await pool.gateway.get('/a');
    expect(got.status).toBe(503);
    expect(got.text).toContain('failure to get a peer from the ring-balancer');
  });

  // Source: Kong `runloop/balancer/balancers.lua`, updateStatus and getPeer; `spec/01-unit/09-balancer/
  // 01-generic_spec.lua`, "dropping below the health threshold marks unhealthy": for each algorithm
  it.each([
    // threshold, unhealthy of 4 equal targets, requests are taken
    [0, 3, true],
    [0, 4, false],
    [24, 3, true],
    [25, 3, false],
    [50, 2, false],
    [50, 1, true],
    [99, 0, true],
    [100, 0, false],
  ])('with threshold %i and %i of 4 down takes requests: %s', async (threshold, down, isTaken) => {
    for (const algorithm of ['round-robin', 'least-connections', 'latency', 'consistent-hashing']) {
      const targets = [A, B, '10.0.0.3:80', '10.0.0.4:80'];
      const pool = new Pool(targets, { ...PASSIVE, threshold });
      pool.config.put('upstreams', {
        ...pool.config.add('upstreams', {
          name: 'other.test',
          healthchecks: { ...PASSIVE, threshold },
        }),
        id: pool.upstreamId,
        name: 'pool.test',
        algorithm,
      });
      pool.swap();
      for (const target of targets.slice(0, down)) pool.fail(target);
      expect((await pool.gateway.get('/a')).status, algorithm).toBe(isTaken ? 200 : 503);
    }
  });

  it('can be set by hand, for a target or one of its addresses', () => {
    const pool = new Pool([A, B]);
    expect(pool.state.setHealth(A, null, false)).toBe(true);
    expect(pool.words()).toEqual({ [A]: 'UNHEALTHY', [B]: 'HEALTHY' });
    expect(pool.state.setHealth(A, '10.0.0.1:80', true)).toBe(true);
    expect(pool.words()).toEqual({ [A]: 'HEALTHY', [B]: 'HEALTHY' });
    expect(pool.state.setHealth(A, '10.0.0.9', false)).toBe(false);
    expect(pool.state.setHealth('10.0.0.9:80', null, false)).toBe(false);
    expect(pool.changes.map(({ cause }) => cause)).toEqual(['manual', 'manual']);
    expect(new Pool([A], {}).state.setHealth(A, null, false)).toBe(false);
  });

  it('survives changes that do not concern it', () => {
    const pool = new Pool([A, B]);
    pool.fail(A);
    pool.config.route({ paths: ['/other'] });
    pool.swap();
    pool.add('10.0.0.3:80');
    pool.swap();
    expect(pool.words()).toMatchObject({ [A]: 'UNHEALTHY', [B]: 'HEALTHY' });
  });

  it('survives tables that are built anew', () => {
    const pool = new Pool([A, B]);
    pool.fail(A);
    pool.remove(B);
    pool.gateway.gateway.swap(pool.config.tables(null, { health: pool.registry }));
    expect(pool.words()).toEqual({ [A]: 'UNHEALTHY' });
    pool.removeUpstream();
    pool.gateway.gateway.swap(pool.config.tables(null, { health: pool.registry }));
    expect(pool.words()).toEqual({});
    expect([...pool.registry.current()]).toEqual([]);
  });

  // Source: Kong `constants.lua`, CLEAR_HEALTH_STATUS_DELAY; `01-healthchecks_spec.lua`, "an upstream
  // that is removed and readed keeps the health status"
  it.each([
    ['a target', REMEMBERED_MS - 1, 'UNHEALTHY'],
    ['a target', REMEMBERED_MS, 'HEALTHY'],
    ['the Upstream', REMEMBERED_MS - 1, 'UNHEALTHY'],
    ['the Upstream', REMEMBERED_MS, 'HEALTHY'],
  ])('is remembered when %s comes back after %i ms: %s', (what, afterMs, word) => {
    const pool = new Pool([A, B]);
    pool.fail(A);
    if (what === 'a target') pool.remove(A);
    else {
      pool.remove(A);
      pool.remove(B);
      pool.removeUpstream();
    }
    pool.swap();
    pool.gateway.platform.clock.advance(afterMs);
    // What is forgotten is forgotten at the next change.
    pool.config.add('upstreams', { name: 'another.test' });
    pool.swap();

    if (what === 'the Upstream') pool.restoreUpstream();
    pool.add(A);
    pool.swap();

    expect(pool.words()).toMatchObject({ [A]: word });
  });

  it('counts active and passive outcomes together, each by its own limits', () => {
    const pool = new Pool([A], {
      passive: { unhealthy: { tcp_failures: 3 } },
      active: {
        healthy: { interval: 1, successes: 1 },
        unhealthy: { interval: 1, tcp_failures: 2 },
      },
    });
    const [known] = pool.state.addressesOf(must(pool.state.current?.targets[0], 'a target')).known;
    const { peer } = must(known, 'an address');
    pool.state.report(peer, { type: 'tcp_failure' }, 'passive');
    expect(peer.health.isHealthy).toBe(true);
    pool.state.report(peer, { type: 'tcp_failure' }, 'active');
    expect(peer.health.isHealthy).toBe(false);
    pool.state.report(peer, { type: 'success' }, 'active');
    expect(peer.health.isHealthy).toBe(true);
  });
});

describe('what is remembered', () => {
  it('of Upstreams is bounded', () => {
    const registry = new HealthRegistry();
    const none = { get: () => undefined, values: () => [] };
    const first = registry.state('ws', 'u0');
    for (let i = 0; i <= GONE_UPSTREAMS_MAX; i += 1) registry.state('ws', `u${i}`);
    registry.adopt(none, { from: null, touched: [] }, 0);
    expect(registry.state('ws', 'u0')).not.toBe(first);
  });

  it('of addresses is bounded', () => {
    const pool = new Pool([A]);
    const { state } = pool;
    const place = (i: number) => ({
      target: A,
      host: 'a',
      srvName: null,
      address: `10.200.${i >> 8}.${i & 255}`,
      port: 80,
    });
    const first = state.peerFor(place(0));
    state.sweep(1);
    for (let i = 1; i <= GONE_PEERS_MAX; i += 1) state.peerFor(place(i));
    state.sweep(2);
    expect(state.peerFor(place(0))).not.toBe(first);
  });
});
