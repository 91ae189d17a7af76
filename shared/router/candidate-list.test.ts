import { describe, expect, it } from 'vitest';
import {
  CHUNK_MAX,
  chunksOf,
  compareCandidates,
  withCandidates,
  withoutEntry,
} from './candidate-list.ts';
import type { Candidate, CandidateList } from './candidate-list.ts';
import { Rank } from './rank.ts';
import { routeEntry } from './route-entry.suite.ts';
import { SEED, Seeded } from './seeded.suite.ts';

/** Of one route: a few candidates of one rank. */
function candidates(random: Seeded): Candidate[] {
  const entry = routeEntry({}, random);
  const rank = new Rank({ major: random.below(4), middle: 0, minor: 0 }, entry);
  const rule = { entry, rank };
  return Array.from({ length: 1 + random.below(4) }, (_, ordinal) => ({ rule, ordinal }));
}

describe('a list of candidates', () => {
  it('holds what it should in order, in chunks that are neither too large nor too many', () => {
    const random = new Seeded(SEED);
    let list: CandidateList<Candidate> = [];
    let routes: Candidate[][] = [];
    // Grows to some thousands, then shrinks to nothing.
    for (let round = 0; round < 900; round += 1) {
      const before = { list, content: chunksOf(list).flat() };
      const isGrowing = round < 400;
      if (isGrowing) {
        const count = random.chance(0.1) ? 100 : random.below(4);
        const added = Array.from({ length: count }, () => candidates(random));
        routes.push(...added);
        if (added.length > 0) list = withCandidates(list, added.flat());
      }
      const gone = routes.filter(() => random.chance(isGrowing ? 0.005 : 0.02));
      routes = routes.filter((route) => !gone.includes(route));
      for (const [candidate] of gone) {
        if (candidate === undefined) continue;
        const { entry, rank } = candidate.rule;
        list = withoutEntry(list, entry, [rank]) ?? [];
      }
      const where = `seed ${SEED}, round ${round}`;
      const content = chunksOf(list).flat();
      expect(content, where).toEqual(routes.flat().toSorted(compareCandidates));
      expect(chunksOf(before.list).flat(), where).toEqual(before.content);
      const sizes = chunksOf(list).map((chunk) => chunk.length);
      expect(Math.max(...sizes), where).toBeLessThanOrEqual(CHUNK_MAX);
      expect(sizes.length, where).toBeLessThanOrEqual(1 + (content.length * 8) / CHUNK_MAX);
    }
    for (const [candidate] of routes) {
      if (candidate === undefined) continue;
      list = withoutEntry(list, candidate.rule.entry, [candidate.rule.rank]) ?? [];
    }
    expect(list).toEqual([]);
  });

  it('finds all candidates of one rank, however many chunks they fill', () => {
    const entry = routeEntry({});
    const rule = { entry, rank: new Rank({ major: 1, middle: 0, minor: 0 }, entry) };
    const many = Array.from({ length: 3_000 }, (_, ordinal) => ({ rule, ordinal }));
    const others = Array.from({ length: 10 }, (_, i) => candidates(new Seeded(i))).flat();
    const list = withCandidates(withCandidates([], others), many);
    const left = withoutEntry(list, entry, [rule.rank]);

    expect(chunksOf(list).length).toBeGreaterThan(5);
    expect(chunksOf(left ?? []).flat()).toEqual(others.toSorted(compareCandidates));
  });
});
