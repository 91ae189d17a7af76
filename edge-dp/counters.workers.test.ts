import { describe, expect, it } from 'vitest';
import type { Clock } from '#shared/platform/platform.ts';
import { IsolateCounters } from './counters.ts';

class FakeClock implements Clock {
  #now = 1_700_000_000_000;
  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now;
  }
  setTimer(): () => void {
    throw new Error('counters need no timer');
  }
  advance(ms: number): void {
    this.#now += ms;
  }
}

describe('the counters of an isolate', () => {
  it('count until their time is over, and then start again', () => {
    const clock = new FakeClock();
    const counters = new IsolateCounters(clock);

    expect(counters.increment('a', 1, clock.now() + 1000)).toBe(1);
    expect(counters.increment('a', 2, clock.now() + 9000)).toBe(3);
    clock.advance(1000);

    expect(counters.read('a')).toBe(0);
    expect(counters.increment('a', 1, clock.now() + 1000)).toBe(1);
  });

  it('hold no more than their bound, and let the oldest go first', () => {
    const clock = new FakeClock();
    const counters = new IsolateCounters(clock, 100);

    for (let i = 0; i < 150; i++) counters.increment(`key ${i}`, 1, clock.now() + 60_000);

    expect(counters.size).toBe(100);
    expect(counters.read('key 0')).toBe(0);
    expect(counters.read('key 149')).toBe(1);
  });

  it('let what has expired go before what has not', () => {
    const clock = new FakeClock();
    const counters = new IsolateCounters(clock, 2);
    counters.increment('short', 1, clock.now() + 10);
    counters.increment('long', 1, clock.now() + 60_000);
    clock.advance(20);

    counters.increment('new', 1, clock.now() + 60_000);

    expect(counters.read('long')).toBe(1);
    expect(counters.read('new')).toBe(1);
  });
});
