import { describe, expect, it } from 'vitest';
import { MemoryCounters } from './memory-counters.ts';

function started(countMax: number) {
  let nowMs = 1_700_000_000_000;
  const counters = new MemoryCounters({ now: () => nowMs }, countMax);
  return { counters, now: () => nowMs, advance: (ms: number) => (nowMs += ms) };
}

describe('counters in memory', () => {
  it('count until their time is over, and then start again', () => {
    const { counters, now, advance } = started(10);

    expect(counters.increment('a', 1, now() + 1000)).toBe(1);
    expect(counters.increment('a', 2, now() + 9000)).toBe(3);
    advance(1000);

    expect(counters.read('a')).toBe(0);
    expect(counters.increment('a', 1, now() + 1000)).toBe(1);
  });

  it('hold no more than their bound, and let the oldest go first', () => {
    const { counters, now } = started(3);

    for (const key of ['a', 'b', 'c', 'd']) counters.increment(key, 1, now() + 1000);

    expect(counters.size).toBe(3);
    expect(['a', 'b', 'c', 'd'].map((key) => counters.read(key))).toEqual([0, 1, 1, 1]);
  });

  it('let what has expired go before what has not', () => {
    const { counters, now, advance } = started(2);
    counters.increment('short', 1, now() + 10);
    counters.increment('long', 1, now() + 60_000);
    advance(20);

    counters.increment('new', 1, now() + 60_000);

    expect([counters.read('long'), counters.read('new')]).toEqual([1, 1]);
  });

  it('drop what has expired a part at a time', () => {
    const { counters, now, advance } = started(100_000);
    for (let i = 0; i < 50_000; i += 1) counters.increment(`k${i}`, 1, now() + 1000);
    advance(2000);

    counters.sweep();

    expect(counters.size).toBe(30_000);
    for (let i = 0; i < 3; i += 1) counters.sweep();
    expect(counters.size).toBe(0);
  });
});
