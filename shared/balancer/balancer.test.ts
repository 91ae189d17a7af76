import { describe, expect, it } from 'vitest';
import type { Target as TargetEntity } from '../entities/target.ts';
import type { Upstream } from '../entities/upstream.ts';
import { buildBalancer, readTarget } from './balancer.ts';
import type { Balancer } from './balancer.ts';

// Only round robin exists, and it reads nothing of the upstream.
const UPSTREAM = { id: 'u', name: 'u' } as unknown as Upstream;
const NONE: ReadonlySet<string> = new Set();

function target(address: string, weight = 100): TargetEntity {
  return {
    id: address,
    created_at: 0,
    updated_at: 0,
    target: address,
    weight,
    upstream: { id: 'u' },
    tags: null,
  };
}

function balancer(weights: Readonly<Record<string, number>>, previous?: Balancer): Balancer {
  const targets = Object.entries(weights).map(([name, weight]) => target(`${name}:1`, weight));
  return buildBalancer(UPSTREAM, targets, previous);
}

function picks(from: Balancer, count: number, tried = NONE): string {
  return Array.from({ length: count }, () => from.pick(tried)?.host ?? '-').join('');
}

describe('round robin', () => {
  it('interleaves by weight', () => {
    expect(picks(balancer({ a: 5, b: 1, c: 1 }), 14)).toBe('aabacaaaabacaa');
    expect(picks(balancer({ a: 100, b: 100 }), 4)).toBe('abab');
  });

  it('gives each target exactly its share of a round', () => {
    const weights = { a: 3, b: 7, c: 10, d: 1 };
    const round = picks(balancer(weights), 21);

    for (const [name, weight] of Object.entries(weights)) {
      expect(round.split(name).length - 1, name).toBe(weight);
    }
  });

  it('does not depend on the order in which targets come', () => {
    expect(picks(balancer({ c: 1, a: 2, b: 1 }), 8)).toBe(picks(balancer({ a: 2, b: 1, c: 1 }), 8));
  });

  it('sends nothing to weight 0', () => {
    expect(picks(balancer({ a: 0, b: 1 }), 3)).toBe('bbb');
    expect(balancer({ a: 0 }).pick(NONE)).toBeNull();
    expect(balancer({}).pick(NONE)).toBeNull();
  });

  it('leaves out what was tried, and answers null when nothing is left', () => {
    const three = balancer({ a: 1, b: 1, c: 1 });
    const tried = new Set<string>();
    const order: string[] = [];
    for (let next = three.pick(tried); next !== null; next = three.pick(tried)) {
      tried.add(next.key);
      order.push(next.host);
    }

    expect(order.toSorted()).toEqual(['a', 'b', 'c']);
    expect(three.pick(tried)).toBeNull();
  });

  it('keeps the turn of targets that a rebuild leaves as they are', () => {
    const uninterrupted = picks(balancer({ a: 2, b: 1, c: 1 }), 8);
    let current = balancer({ a: 2, b: 1, c: 1 });
    let rebuilt = '';
    for (let i = 0; i < 8; i += 1) {
      rebuilt += picks(current, 1);
      current = balancer({ a: 2, b: 1, c: 1 }, current);
    }

    expect(rebuilt).toBe(uninterrupted);
  });

  it('starts a target anew when its weight has changed', () => {
    const before = balancer({ a: 3, b: 1 });
    picks(before, 1);

    expect(picks(balancer({ a: 1, b: 1 }, before), 4)).toMatch(/^(?:baba|baab)$/);
  });
});

describe('readTarget', () => {
  it.each([
    ['example.com', 'example.com', 8000, 'example.com:8000'],
    ['example.com:80', 'example.com', 80, 'example.com:80'],
    ['10.0.0.1:81', '10.0.0.1', 81, '10.0.0.1:81'],
    ['[::1]:82', '::1', 82, '[::1]:82'],
    ['[::1]', '::1', 8000, '[::1]:8000'],
  ])('reads %s', (address, host, port, key) => {
    expect(readTarget(target(address))).toEqual({ key, host, port, weight: 100 });
  });

  it('refuses what has no host', () => {
    expect(readTarget(target(':80'))).toBeNull();
  });
});
