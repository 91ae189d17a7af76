import { describe, expect, it } from 'vitest';
import { xxhash32 } from './xxhash32.ts';

describe('xxhash32', () => {
  // As `xxhsum -H32` prints them.
  it.each([
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ])('of %j is known', (text, hash) => {
    expect(xxhash32(text)).toBe(hash);
  });

  it('takes text as UTF-8, and however long', () => {
    expect(xxhash32('ü')).not.toBe(xxhash32('u'));
    // Behind the 256 that are hashed without an encoder, each byte counts still.
    expect(xxhash32(`${'x'.repeat(300)}a`)).not.toBe(xxhash32(`${'x'.repeat(300)}b`));
  });
});
