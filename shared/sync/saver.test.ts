import { describe, expect, it } from 'vitest';
import { Saver } from './saver.ts';

describe('a saver', () => {
  it('saves one at a time, and of those that wait the newest only', async () => {
    const saved: number[] = [];
    const releases: ((ok: boolean) => void)[] = [];
    const saver = new Saver<number>((value) => {
      saved.push(value);
      return new Promise((resolve) => releases.push(resolve));
    });
    const answers = [saver.save(1), saver.save(2), saver.save(3)];
    expect(saved).toEqual([1]);
    releases[0]?.(true);
    expect(await answers[0]).toBe(true);
    expect(saved).toEqual([1, 3]);
    releases[1]?.(false);

    expect(await Promise.all(answers)).toEqual([true, false, false]);
    await saver.idle();
    void saver.save(4);
    expect(saved).toEqual([1, 3, 4]);
  });

  it('is idle when there is nothing to save', async () => {
    await new Saver(async () => true).idle();
  });
});
