import { describe, expect, it } from 'vitest';
import type { Radix } from './radix.ts';
import { Rank } from './rank.ts';
import { chunksOf, compareCandidates } from './candidate-list.ts';
import type { Candidate, CandidateList } from './candidate-list.ts';
import { EMPTY_INDEX, IndexEdit } from './route-index.ts';
import type { Bucket, NameKey, RouteIndex } from './route-index.ts';
import { routeEntry } from './route-entry.suite.ts';
import type { RouteEntry } from './router.ts';
import { SEED, Seeded } from './seeded.suite.ts';

interface Placed {
  readonly name: NameKey;
  readonly text: string;
  readonly candidate: Candidate;
}

const NAMES: readonly NameKey[] = [
  { kind: 'exact', text: 'a.com' },
  { kind: 'exact', text: 'b.com' },
  { kind: 'suffix', text: '.a.com' },
  { kind: 'prefix', text: 'a.' },
  { kind: 'any', text: '' },
  { kind: 'unnamed', text: '' },
];
const TEXTS = ['', '/', '/a', '/ab', '/b'];

function place(random: Seeded): Placed[] {
  const entry = routeEntry({}, random);
  const keys = { major: random.below(3), middle: 0, minor: 0 };
  const rule = { entry, rank: new Rank(keys, entry) };
  return Array.from({ length: 1 + random.below(3) }, (_, ordinal) => ({
    name: random.pick(NAMES),
    text: random.pick(TEXTS),
    candidate: { rule, ordinal },
  }));
}

function edited(
  index: RouteIndex<Candidate>,
  removed: readonly Placed[],
  added: readonly Placed[],
): RouteIndex<Candidate> {
  const edit = new IndexEdit(index);
  for (const { name, text, candidate } of removed) {
    edit.remove(name, text, candidate.rule.entry, [candidate.rule.rank]);
  }
  for (const { name, text, candidate } of added) edit.add(name, text, candidate);
  return edit.finish();
}

function shapeOf<T>(root: Radix<T>, valueOf: (value: T) => unknown): unknown {
  if (root === null) return null;
  const { label, value, children } = root;
  return {
    label,
    value: value === null ? null : valueOf(value),
    children: children.map((child) => shapeOf(child, valueOf)),
  };
}

function dump(index: RouteIndex<Candidate>): unknown {
  const list = (value: CandidateList<Candidate>): unknown =>
    chunksOf(value)
      .flat()
      .map(({ rule, ordinal }) => `${rule.rank.id} ${ordinal}`);
  const bucket = (value: Bucket<Candidate>): unknown => shapeOf(value, list);
  return [
    ...[index.exact, index.suffix, index.prefix].map((names) => shapeOf(names, bucket)),
    ...[index.any, index.unnamed].map(bucket),
  ];
}

describe('an index of routes', () => {
  it('is after any history what it would be if built from what is left, and old ones stay', () => {
    const random = new Seeded(SEED);
    let index: RouteIndex<Candidate> = EMPTY_INDEX;
    let placed: Placed[] = [];
    for (let round = 0; round < 500; round += 1) {
      const before = { index, dump: JSON.stringify(dump(index)) };
      const gone = new Set<RouteEntry>();
      for (const { candidate } of placed) if (random.chance(0.2)) gone.add(candidate.rule.entry);
      const isGone = ({ candidate }: Placed): boolean => gone.has(candidate.rule.entry);
      // Many at once are put in by another way than few.
      const count = random.chance(0.1) ? 150 : random.below(4);
      const added = Array.from({ length: count }, () => place(random)).flat();
      index = edited(index, placed.filter(isGone), added);
      placed = placed.filter((each) => !isGone(each)).concat(added);
      const where = `seed ${SEED}, round ${round}`;
      expect(JSON.stringify(dump(before.index)), where).toBe(before.dump);
      expect(dump(index), where).toEqual(dump(edited(EMPTY_INDEX, [], placed)));
    }
    expect(edited(index, placed, [])).toEqual(EMPTY_INDEX);
  });

  it('keeps each list best first', () => {
    const random = new Seeded(SEED);
    const placed = Array.from({ length: 200 }, () => place(random)).flat();
    const [name, text] = [{ kind: 'any', text: '' } as const, '/'];
    const candidates = placed.map(({ candidate }) => candidate);
    let index: RouteIndex<Candidate> = EMPTY_INDEX;
    for (const candidate of candidates) index = edited(index, [], [{ name, text, candidate }]);

    expect(index.any?.value).toEqual(candidates.toSorted(compareCandidates));
  });
});
