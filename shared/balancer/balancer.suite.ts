/** What the tests of balancers share: an Upstream's state, versions of it, picks. */
import { TestConfig } from '../../test/support/builders.ts';
import { must } from '../base/assert.ts';
import type { Upstream } from '../entities/upstream.ts';
import { NOBODY, UpstreamState } from './upstream-state.ts';
import type { Choice } from './algorithm.ts';
import { Balancer } from './balancer.ts';
import type { Peer } from './peer.ts';
import { targetKey } from './target.ts';

export type Weights = Readonly<Record<string, number>>;

/** An Upstream as the Admin API would take it. */
export function upstreamOf(input: Parameters<TestConfig['add']>[1] = {}): Upstream {
  // Made by the schema of upstreams.
  return new TestConfig().add('upstreams', { name: 'pool.test', ...input }) as unknown as Upstream;
}

/** One Upstream through its versions. Targets are 10.0.0.N:80 by their N, or names. */
export class TestPool {
  readonly state = new UpstreamState('ws', 'pool.test', NOBODY);
  readonly upstream: Upstream;
  nowMs = 0;
  balancer: Balancer;

  constructor(weights: Weights, input: Parameters<TestConfig['add']>[1] = {}) {
    this.upstream = upstreamOf(input);
    this.balancer = this.#make(weights, null);
    this.state.adopt(this.balancer, 0);
  }

  /** Another version is served from now on. */
  change(weights: Weights): void {
    this.balancer = this.#make(weights, this.balancer);
    this.state.adopt(this.balancer, this.nowMs);
  }

  choice(changes: Partial<Choice> = {}): Choice {
    return { tried: null, activeMax: Infinity, hashValue: '', nowMs: this.nowMs, ...changes };
  }

  /** The last part of the address picked; `-` for none. */
  pick(changes: Partial<Choice> = {}): string {
    return nameOf(this.balancer.pick(this.choice(changes)));
  }

  picks(count: number): string {
    return Array.from({ length: count }, () => this.pick()).join('');
  }

  peer(name: string): Peer {
    const target = must(
      this.balancer.targets.find(({ host }) => host === hostOf(name)),
      `no target ${name}`,
    );
    return must(this.state.addressesOf(target).known[0], `no address for ${name}`).peer;
  }

  #make(weights: Weights, previous: Balancer | null): Balancer {
    const targets = Object.entries(weights).map(([name, weight]) => {
      const host = hostOf(name);
      return { key: targetKey(host, 80), host, port: 80, weight };
    });
    return new Balancer(this.state, this.upstream, targets, previous);
  }
}

function hostOf(name: string): string {
  return /^\d+$/.test(name)
    ? `10.0.${Math.trunc(Number(name) / 250)}.${(Number(name) % 250) + 1}`
    : `fd00::${name}`;
}

export function nameOf(peer: Peer | null): string {
  return peer === null ? '-' : peer.host.replace('fd00::', '');
}
