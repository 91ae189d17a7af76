import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-platform.ts';
import { upstreamOf } from './balancer.suite.ts';
import { Balancer } from './balancer.ts';
import type { Peer } from './peer.ts';
import { ScriptedResolver } from './scripted-resolver.suite.ts';
import { REQUERY_MS } from './target-addresses.ts';
import { NOBODY, UpstreamState } from './upstream-state.ts';

class NamedPool {
  readonly clock = new FakeClock();
  readonly resolver = new ScriptedResolver();
  readonly state = new UpstreamState('ws', 'pool.test', NOBODY);
  readonly balancer: Balancer;

  constructor(hosts: readonly string[], input: Parameters<typeof upstreamOf>[0] = {}) {
    const targets = hosts.map((host) => ({ key: `${host}:80`, host, port: 80, weight: 100 }));
    this.balancer = new Balancer(this.state, upstreamOf(input), targets, null);
    this.state.adopt(this.balancer, this.now);
  }

  get now(): number {
    return this.clock.monotonic();
  }

  answer(name: string, addresses: readonly string[] | null, ttlMs = 10_000): void {
    const expiresAt = this.now + ttlMs;
    this.resolver.answers.set(name, addresses === null ? null : { addresses, expiresAt });
  }

  ready(): Promise<void> | null {
    return this.balancer.ready(this.resolver, this.clock);
  }

  async settle(): Promise<void> {
    await this.ready();
    // What goes on behind the request is a promise or two away.
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
    this.ready();
  }

  peers(count: number): (Peer | null)[] {
    const choice = { tried: null, activeMax: Infinity, hashValue: '', nowMs: this.now };
    return Array.from({ length: count }, () => this.balancer.pick(choice));
  }

  /** What so many picks go to, sorted. */
  picked(count: number): (string | undefined)[] {
    return this.peers(count)
      .map((peer) => peer?.shown)
      .toSorted();
  }
}

describe('a target by name', () => {
  it('is waited for the first time, and stands for all of its addresses', async () => {
    const pool = new NamedPool(['a.test']);
    pool.answer('a.test', ['10.0.0.1', '10.0.0.2']);

    const waiting = pool.ready();
    expect(waiting).not.toBeNull();
    await waiting;

    expect(pool.picked(4)).toEqual(['10.0.0.1:80', '10.0.0.1:80', '10.0.0.2:80', '10.0.0.2:80']);
    const [peer] = pool.peers(1);
    expect([peer?.host, peer?.target]).toEqual(['a.test', 'a.test:80']);
    expect(pool.ready()).toBeNull();
    expect(pool.resolver.asked).toEqual(['a.test']);
  });

  it('needs no waiting where the answer is known already', () => {
    const pool = new NamedPool(['a.test']);
    pool.resolver.isSlow = false;
    pool.answer('a.test', ['10.0.0.1']);
    expect(pool.ready()).toBeNull();
    expect(pool.picked(1)).toEqual(['10.0.0.1:80']);
  });

  it('is asked for once, however many wait', async () => {
    const pool = new NamedPool(['a.test']);
    pool.answer('a.test', ['10.0.0.1']);
    await Promise.all([pool.ready(), pool.ready(), pool.ready()]);
    expect(pool.resolver.asked).toEqual(['a.test']);
  });

  it('serves what it has while it is looked up again', async () => {
    const pool = new NamedPool(['a.test']);
    pool.answer('a.test', ['10.0.0.1']);
    await pool.settle();
    pool.clock.advance(10_000);
    pool.answer('a.test', ['10.0.0.2']);

    expect(pool.ready()).toBeNull();
    expect(pool.picked(1)).toEqual(['10.0.0.1:80']);
    await pool.settle();

    expect(pool.picked(2)).toEqual(['10.0.0.2:80', '10.0.0.2:80']);
  });

  it('keeps what is known of addresses that stay', async () => {
    const pool = new NamedPool(['a.test']);
    pool.answer('a.test', ['10.0.0.1', '10.0.0.2']);
    await pool.settle();
    const before = new Set(pool.peers(4));
    pool.clock.advance(10_000);
    pool.answer('a.test', ['10.0.0.2', '10.0.0.3']);
    await pool.settle();

    const after = pool.peers(8);
    const kept = after.find((peer) => peer?.ip === '10.0.0.2');
    expect(before.has(kept ?? null)).toBe(true);
    expect(new Set(after.map((peer) => peer?.ip))).toEqual(new Set(['10.0.0.2', '10.0.0.3']));
  });

  it('does not hold up others that are known', async () => {
    const pool = new NamedPool(['a.test', '10.9.9.9']);
    pool.answer('a.test', ['10.0.0.1']);
    expect(pool.ready()).toBeNull();
    expect(pool.picked(1)).toEqual(['10.9.9.9:80']);
    await pool.settle();
    expect(pool.picked(2)).toEqual(['10.0.0.1:80', '10.9.9.9:80']);
  });

  it('weighs by its SRV records, which also have the ports', async () => {
    const pool = new NamedPool(['a.test']);
    pool.resolver.answers.set('a.test', {
      addresses: ['10.0.0.1', '10.0.0.2'],
      expiresAt: pool.now + 1000,
      srv: [
        { port: 8001, weight: 3 },
        { port: 8002, weight: 1 },
      ],
    });
    await pool.settle();
    const picked = pool.picked(4);
    expect(picked).toEqual(['10.0.0.1:8001', '10.0.0.1:8001', '10.0.0.1:8001', '10.0.0.2:8002']);
    expect(new Set(pool.peers(4).map((peer) => peer?.srvName))).toEqual(
      new Set(['srv0.a.test', 'srv1.a.test']),
    );
  });

  it('that does not resolve is asked for again soon', async () => {
    const pool = new NamedPool(['a.test']);
    await pool.settle();
    expect(pool.picked(1)).toEqual([undefined]);
    expect(pool.balancer.isUnresolved).toBe(true);
    pool.answer('a.test', ['10.0.0.1'], 1e9);

    pool.clock.advance(REQUERY_MS - 1);
    await pool.settle();
    expect(pool.resolver.asked).toHaveLength(1);
    pool.clock.advance(1);
    await pool.settle();

    expect(pool.picked(1)).toEqual(['10.0.0.1:80']);
    expect(pool.balancer.isUnresolved).toBe(false);
  });

  // Source: Kong `runloop/balancer/targets.lua`: a failure takes away the addresses there were
  it('that stops resolving has no addresses any more', async () => {
    const pool = new NamedPool(['a.test']);
    pool.answer('a.test', ['10.0.0.1'], 1000);
    await pool.settle();
    pool.answer('a.test', null);
    pool.clock.advance(1000);
    await pool.settle();
    expect(pool.picked(1)).toEqual([undefined]);
    expect(pool.balancer.isUnresolved).toBe(true);
  });

  it('is one address by its name where the transport resolves', () => {
    const pool = new NamedPool(['a.test', 'b.test']);
    expect(pool.balancer.ready(null, pool.clock)).toBeNull();
    expect(pool.peers(2).map((peer) => [peer?.host, peer?.address])).toEqual([
      ['a.test', null],
      ['b.test', null],
    ]);
  });
});
