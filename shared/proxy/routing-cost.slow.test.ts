import { describe, expect, it } from 'vitest';
import { medianCosts } from './routing-cost.suite.ts';

/**
 * Both do the same work; of a hundred thousand routes each request reads what no cache holds, which
 * costs it some four times what it is with a thousand. Were anything looked through, it would be a
 * hundred times.
 */
const RATIO_MAX = 8;

describe('routing and balancing', () => {
  it('costs of 100,000 routes what reading cold memory costs, and no more', () => {
    const [few = 0, many = Infinity] = medianCosts([1_000, 100_000]);
    expect(many / few, `${few.toFixed(0)} ns and ${many.toFixed(0)} ns`).toBeLessThan(RATIO_MAX);
  }, 120_000);
});
