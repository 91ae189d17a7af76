import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { Seeded, SEED } from '../router/seeded.suite.ts';
import { RouteSet } from './route-set.ts';
import type { RouteSource } from './routes.ts';

describe('the routes of a service', () => {
  it(`are those that were put in and not taken out, few or many (seed ${SEED})`, () => {
    const config = new TestConfig();
    const service = { id: config.service().id };
    for (let n = 0; n < 100; n++) config.route({ paths: [`/${n}`], service });
    const all: readonly RouteSource[] = [...config.tables().parts.routes.sources.values()];
    const random = new Seeded(SEED);
    const there = new Set<RouteSource>();
    let set = RouteSet.EMPTY;
    let most = 0;
    for (let n = 0; n < 300; n++) {
      const isGrowing = Math.floor(n / 50) % 2 === 0;
      const removed = [...there].filter(() => random.chance(isGrowing ? 0.02 : 0.2));
      const added = all.filter(
        (source) => !there.has(source) && random.chance(isGrowing ? 0.1 : 0.01),
      );
      const before = [...set];
      const next = set.with(removed, added);
      expect([...set]).toEqual(before);
      set = next;
      for (const source of removed) there.delete(source);
      for (const source of added) there.add(source);
      most = Math.max(most, there.size);
      expect(new Set(set)).toEqual(there);
      expect(set.size).toBe(there.size);
    }
    expect(most).toBeGreaterThan(64);
  });
});
