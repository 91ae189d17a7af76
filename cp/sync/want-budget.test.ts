import { describe, expect, it } from 'vitest';
import { makeRecord } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { SHARD_BATCH_COUNT } from './session.ts';
import { WantBudget, WANTED_PER_MINUTE, WANTED_PER_RECORD } from './want-budget.ts';

const WS = '11111111-1111-4111-8111-111111111111';
let nowMs = 0;
const clock = { monotonic: () => nowMs };

/** How many it is given, one batch after the other. */
function taken(budget: WantBudget, records: number, wanted: number, node = 'a'): number {
  for (let count = 0; count < wanted; count += SHARD_BATCH_COUNT) {
    if (!budget.spend(node, SHARD_BATCH_COUNT, records)) return count;
  }
  return wanted;
}

describe('what a data plane may ask for', () => {
  it('ends at the bound, and comes back with time', () => {
    const budget = new WantBudget(clock);
    expect(taken(budget, 0, 100_000)).toBe(WANTED_PER_MINUTE);
    nowMs += 30_000;
    expect(taken(budget, 0, 100_000)).toBe(WANTED_PER_MINUTE / 2);
    nowMs += 3_600_000;
    expect(taken(budget, 0, 100_000)).toBe(WANTED_PER_MINUTE);
    expect(budget.spend('a', 1, 0)).toBe(false);
  });

  it('is its own: another is given all the same', () => {
    const budget = new WantBudget(clock);
    taken(budget, 0, 100_000, 'greedy');
    expect(taken(budget, 0, 1_000, 'honest')).toBe(1_000);
  });

  // Just after all leaves have split, a tree has the most nodes for its records.
  it.each([0, 129, 2_100, 35_000, 100_000])(
    'is all of a tree of %i records three times over, without a pause',
    (records) => {
      const all = Array.from({ length: records }, (_, index) => {
        const id = `r${index}`;
        return makeRecord({ kind: 'routes', ws: WS, id, placement: id }, { id }, nodeCrypto);
      });
      const tree = ConfigTree.empty(nodeCrypto).apply(all, []);
      const nodes = [...tree.nodes()].length;
      expect(taken(new WantBudget(clock), records, 3 * nodes)).toBe(3 * nodes);
      expect(nodes).toBeLessThan(1 + (records * WANTED_PER_RECORD) / 2 + 1);
    },
    30_000,
  );
});
