import { describe, expect, it } from 'vitest';
import { Pace, SHARED_POLL_MS_MAX } from './pace.ts';

const HOUR = 3_600_000;

describe('how often the database is asked', () => {
  it('is as it was set, and every five seconds at least where others write', () => {
    const pace = new Pace({ pollMs: 30_000, sleepMs: null });
    expect(pace.pollMs()).toBe(30_000);
    pace.share(true);
    expect(pace.pollMs()).toBe(SHARED_POLL_MS_MAX);
    expect(pace.rarely(60_000)).toBe(60_000);
  });

  it('is hardly at all where it may sleep, as long as nobody else is there', () => {
    const pace = new Pace({ pollMs: 5_000, sleepMs: HOUR });
    expect(pace.pollMs()).toBe(HOUR);
    expect(pace.rarely(60_000)).toBe(HOUR);
    pace.share(true);
    expect(pace.pollMs()).toBe(5_000);
    pace.share(false);
    expect(pace.pollMs()).toBe(HOUR);
  });
});
