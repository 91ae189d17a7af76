import { describe, expect, it } from 'vitest';
import { DbError } from './db.ts';
import { ATTEMPTS_MAX, retrying } from './retry.ts';

describe('a transaction that Postgres asks to run again', () => {
  it.each(['40001', '40P01'])('is run again on %s, up to a bound', async (sqlState) => {
    const failure = new DbError('again', { sqlState });
    let runs = 0;
    const failing = retrying(() => {
      runs += 1;
      return Promise.reject(failure);
    });
    await expect(failing).rejects.toBe(failure);
    expect(runs).toBe(ATTEMPTS_MAX);
  });

  it('answers what the first success answers', async () => {
    let runs = 0;
    const value = await retrying(async () => {
      runs += 1;
      if (runs < 3) throw new DbError('again', { sqlState: '40001' });
      return 'done';
    });
    expect([value, runs]).toEqual(['done', 3]);
  });

  it.each([
    new DbError('unique', { sqlState: '23505' }),
    new DbError('cut at commit', { sqlState: null, outcomeUnknown: true }),
    new Error('bug'),
  ])('is not run again after %s', async (failure) => {
    let runs = 0;
    const failing = retrying(() => {
      runs += 1;
      return Promise.reject(failure);
    });
    await expect(failing).rejects.toBe(failure);
    expect(runs).toBe(1);
  });
});
