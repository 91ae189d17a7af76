import { describe, expect, it } from 'vitest';
import {
  CHAIN_BYTES_MAX,
  CHAIN_COUNT_MAX,
  CHAIN_SENT_BYTES_MAX,
  emptyFeed,
  extendFeed,
  planUpdate,
  type Published,
} from './feed.ts';

const at = (revision: number, epoch = 1) => ({ epoch, revision, hash: `${epoch}/${revision}` });

function published(revision: number, size = 10, epoch = 1): Published {
  return {
    position: at(revision, epoch),
    secretGeneration: 1,
    records: 1,
    manifest: new Uint8Array(1),
    delta: new Uint8Array(size),
    base: at(revision - 1, epoch),
  };
}

const range = (from: number, to: number, size?: number): Published[] =>
  Array.from({ length: to - from + 1 }, (_, index) => published(from + index, size));

describe('a feed', () => {
  it('keeps the newest deltas up to its bounds in number and bytes', () => {
    const long = extendFeed(emptyFeed({ groupId: 'g', level: 1 }), range(2, 200));
    expect(long.chain).toHaveLength(CHAIN_COUNT_MAX);
    expect(long.head?.position.revision).toBe(200);

    const size = CHAIN_BYTES_MAX / 4;
    const heavy = extendFeed(emptyFeed({ groupId: 'g', level: 1 }), range(2, 20, size));
    expect(heavy.chain.map(({ position }) => position.revision)).toEqual([17, 18, 19, 20]);
    const heavier = extendFeed(heavy, [published(21, CHAIN_BYTES_MAX + 1)]);
    expect(heavier.chain.map(({ position }) => position.revision)).toEqual([21]);
  });

  it('takes only what is newer, and is the same object when nothing is', () => {
    const feed = extendFeed(emptyFeed({ groupId: 'g', level: 1 }), range(2, 5));
    expect(extendFeed(feed, range(2, 5))).toBe(feed);
    expect(extendFeed(feed, range(4, 7)).head?.position.revision).toBe(7);
    expect(extendFeed(feed, [published(1, 10, 2)]).head?.position).toEqual(at(1, 2));
  });

  it('sends a manifest instead of a chain that is longer than it', () => {
    const half = CHAIN_SENT_BYTES_MAX / 2;
    const feed = extendFeed(emptyFeed({ groupId: 'g', level: 1 }), range(2, 5, half));
    expect(planUpdate(feed, at(3)).type).toBe('deltas');
    expect(planUpdate(feed, at(2)).type).toBe('manifest');
  });

  it('sends a manifest over a version that has no delta', () => {
    const without = { ...published(4), delta: null, base: null };
    const feed = extendFeed(emptyFeed({ groupId: 'g', level: 1 }), [
      ...range(2, 3),
      without,
      published(5),
    ]);
    expect(planUpdate(feed, at(2)).type).toBe('manifest');
    expect(planUpdate(feed, at(4)).type).toBe('deltas');
  });

  it('knows who is current and who is ahead', () => {
    const feed = extendFeed(emptyFeed({ groupId: 'g', level: 1 }), range(2, 5));
    expect(planUpdate(feed, at(5)).type).toBe('none');
    expect(planUpdate(feed, at(6)).type).toBe('ahead');
    expect(planUpdate(feed, at(1, 2)).type).toBe('ahead');
    expect(planUpdate(emptyFeed({ groupId: 'g', level: 1 }), at(1)).type).toBe('ahead');
    expect(
      planUpdate(emptyFeed({ groupId: 'g', level: 1 }), { epoch: 0, revision: 0, hash: '' }).type,
    ).toBe('none');
  });
});
