import { describe, expect, it } from 'vitest';
import { BATCH_LENGTH_MAX, BATCH_ROWS_MAX, batchesOf } from './row-batch.ts';

const sizes = (texts: readonly string[]) =>
  [...batchesOf(texts, JSON.stringify)].map(({ items }) => items.length);

describe('rows in batches', () => {
  it('hold at most so many, in order, as one JSON text', () => {
    const texts = Array.from({ length: BATCH_ROWS_MAX + 1 }, (_, index) => `t${index}`);
    const batches = [...batchesOf(texts, JSON.stringify)];
    expect(batches.map(({ items }) => items.length)).toEqual([BATCH_ROWS_MAX, 1]);
    expect(batches.flatMap(({ json }) => JSON.parse(json) as unknown)).toEqual(texts);
    expect(sizes(texts.slice(0, BATCH_ROWS_MAX))).toEqual([BATCH_ROWS_MAX]);
    expect(sizes([])).toEqual([]);
  });

  it('are at most so long, unless one row alone is longer', () => {
    // Two quotes each.
    const half = 'x'.repeat(BATCH_LENGTH_MAX / 2 - 2);
    expect(sizes([half, half])).toEqual([2]);
    expect(sizes([half, `${half}x`])).toEqual([1, 1]);
    expect(sizes(['y', 'x'.repeat(BATCH_LENGTH_MAX), 'y'])).toEqual([1, 1, 1]);
  });
});
