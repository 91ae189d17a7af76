import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { CLOSE } from '../wire/close-codes.ts';
import {
  isSlow,
  RETRY_AFTER_MS_MAX,
  RETRY_MS_MAX,
  retryAfterDelayMs,
  retryAfterOf,
  retryDelayMs,
  SLOW_RETRY_MS_MAX,
  SLOW_RETRY_MS_MIN,
  slowRetryDelayMs,
} from './backoff.ts';

const ALMOST_ONE = 1 - Number.EPSILON;

describe('backoff', () => {
  it.each([
    [0, 250],
    [1, 500],
    [2, 1000],
    [3, 2000],
    [4, 4000],
    [5, RETRY_MS_MAX],
    [6, RETRY_MS_MAX],
    [1e9, RETRY_MS_MAX],
  ])('after %i failures waits anything from nothing to %i ms', (failures, mostMs) => {
    expect(retryDelayMs(failures, 0)).toBe(0);
    expect(retryDelayMs(failures, ALMOST_ONE)).toBeCloseTo(mostMs, 3);
    expect(retryDelayMs(failures, ALMOST_ONE)).toBeLessThanOrEqual(mostMs);
  });

  it('spreads a fleet evenly', () => {
    const random = new SeededRandom(1);
    const waits = Array.from({ length: 2000 }, () => retryDelayMs(9, random.next()));
    const firstSecond = waits.filter((ms) => ms < 1000).length;
    expect(firstSecond).toBeGreaterThan(320);
    expect(firstSecond).toBeLessThan(480);
  });

  it('waits between five and thirty seconds where hurry is no help', () => {
    expect(slowRetryDelayMs(0)).toBe(SLOW_RETRY_MS_MIN);
    expect(slowRetryDelayMs(ALMOST_ONE)).toBeLessThanOrEqual(SLOW_RETRY_MS_MAX);
    const codes = Object.values(CLOSE).filter((code) => isSlow(code));
    expect(codes).toEqual([
      CLOSE.unauthorized,
      CLOSE.revoked,
      CLOSE.incompatible,
      CLOSE.superseded,
    ]);
  });

  it('waits at least as long as it is asked to, but for ever for nobody', () => {
    expect(retryAfterDelayMs(2000, 0)).toBe(2000);
    expect(retryAfterDelayMs(2000, ALMOST_ONE)).toBeLessThanOrEqual(3000);
    expect(retryAfterDelayMs(1e12, 0)).toBe(RETRY_AFTER_MS_MAX);
  });

  it.each([
    ['retry_after_ms=1500', 1500],
    ['draining, retry_after_ms=0', 0],
    ['', null],
    ['retry_after_ms=', null],
    ['retry_after_ms=-5', null],
    ['retry_after_ms=99999999999999999999', null],
  ])('reads %j as %j', (reason, ms) => {
    expect(retryAfterOf(reason)).toBe(ms);
  });
});
