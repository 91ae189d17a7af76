import { describe, expect, it } from 'vitest';
import { atOnce, type Breaks, inSlices, type Sliced } from './slices.ts';

function* counting(to: number, seen: number[]): Sliced<string> {
  for (let n = 1; n <= to; n++) {
    yield;
    seen.push(n);
  }
  return `counted ${to}`;
}

function* failing(): Sliced<never> {
  yield;
  throw new Error('half way');
}

/** Breaks after every so many steps; others get their turn in between. */
function every(steps: number, between: () => void): Breaks {
  let count = 0;
  return {
    due: () => (++count % steps === 0 ? Promise.resolve().then(between) : null),
  };
}

describe('work in slices', () => {
  it('comes to the same at once and in slices', async () => {
    const [once, sliced]: [number[], number[]] = [[], []];

    expect(atOnce(counting(10, once))).toBe('counted 10');
    expect(
      await inSlices(
        counting(10, sliced),
        every(3, () => {}),
      ),
    ).toBe('counted 10');
    expect(sliced).toEqual(once);
  });

  it('gives way when it is time, and goes on where it was', async () => {
    const seen: number[] = [];
    const at: number[] = [];

    await inSlices(
      counting(7, seen),
      every(3, () => void at.push(seen.length)),
    );

    expect(at).toEqual([2, 5]);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('passes on what the work throws', async () => {
    expect(() => atOnce(failing())).toThrow('half way');
    await expect(
      inSlices(
        failing(),
        every(1, () => {}),
      ),
    ).rejects.toThrow('half way');
  });
});
