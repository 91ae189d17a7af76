/** Sets of characters: what one step of a regex can take. */

/** Largest code point. */
export const CHAR_MAX = 0x10ffff;
const SURROGATE_MIN = 0xd800;
const SURROGATE_MAX = 0xdfff;

/** Most patterns are made of these. */
const ASCII: CharSet[] = [];

export class CharSet {
  /**
   * `low, high, low, high …`: code points, both ends included, ascending, neither overlapping nor
   * touching; no surrogates, which are no characters.
   */
  readonly ranges: readonly number[];
  /** What stands within the brackets of a native RegExp with flag `u`, where that is shorter. */
  readonly native: string | null;
  /** The native brackets are `[^…]`. */
  readonly isNegated: boolean;

  private constructor(ranges: readonly number[], native: string | null, isNegated: boolean) {
    this.ranges = ranges;
    this.native = native;
    this.isNegated = isNegated;
  }

  /** @param ranges  pairs in any order */
  static of(ranges: readonly number[], native: string | null = null): CharSet {
    return new CharSet(normalized(ranges), native, false);
  }

  static char(code: number): CharSet {
    if (code > 0x7f) return new CharSet([code, code], null, false);
    const known = ASCII[code];
    if (known !== undefined) return known;
    const set = new CharSet([code, code], null, false);
    ASCII[code] = set;
    return set;
  }

  /** The only character; null when there are more or none. */
  get single(): number | null {
    const { ranges } = this;
    const [low, high] = ranges;
    return ranges.length === 2 && low === high && low !== undefined ? low : null;
  }

  get isEmpty(): boolean {
    return this.ranges.length === 0;
  }

  get isAscii(): boolean {
    return (this.ranges.at(-1) ?? 0) < 0x80;
  }

  has(code: number): boolean {
    const { ranges } = this;
    let from = 0;
    let to = ranges.length >> 1;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (code < (ranges[middle << 1] ?? 0)) to = middle;
      else if (code > (ranges[(middle << 1) + 1] ?? 0)) from = middle + 1;
      else return true;
    }
    return false;
  }

  or(other: CharSet): CharSet {
    return new CharSet(normalized([...this.ranges, ...other.ranges]), joined(this, other), false);
  }

  not(): CharSet {
    const gaps: number[] = [];
    let from = 0;
    for (let i = 0; i < this.ranges.length; i += 2) {
      const low = this.ranges[i] ?? 0;
      if (from < low) gaps.push(from, low - 1);
      from = (this.ranges[i + 1] ?? 0) + 1;
    }
    if (from <= CHAR_MAX) gaps.push(from, CHAR_MAX);
    return new CharSet(normalized(gaps), this.native, !this.isNegated);
  }

  and(other: CharSet): CharSet {
    const a = this.ranges;
    const b = other.ranges;
    const common: number[] = [];
    for (let i = 0, j = 0; i < a.length && j < b.length;) {
      const low = Math.max(a[i] ?? 0, b[j] ?? 0);
      const aHigh = a[i + 1] ?? 0;
      const bHigh = b[j + 1] ?? 0;
      const high = Math.min(aHigh, bHigh);
      if (low <= high) common.push(low, high);
      if (aHigh < bHigh) i += 2;
      else j += 2;
    }
    return new CharSet(common, null, false);
  }

  minus(other: CharSet): CharSet {
    return this.and(other.not());
  }

  xor(other: CharSet): CharSet {
    return this.minus(other).or(other.minus(this));
  }
}

export const ANY = CharSet.of([0, CHAR_MAX]);
export const NONE = CharSet.of([]);

function normalized(ranges: readonly number[]): number[] {
  const pairs: (readonly [number, number])[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    addWithoutSurrogates(pairs, ranges[i] ?? 0, ranges[i + 1] ?? 0);
  }
  pairs.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [low, high] of pairs) {
    const last = merged.length - 1;
    const end = merged[last];
    // Across the surrogates there is nothing between, yet no range may span them.
    if (end === undefined || low > end + 1) merged.push(low, high);
    else if (high > end) merged[last] = high;
  }
  return merged;
}

function addWithoutSurrogates(pairs: (readonly [number, number])[], low: number, high: number) {
  if (low < SURROGATE_MIN && high >= SURROGATE_MIN) {
    pairs.push([low, SURROGATE_MIN - 1]);
  } else if (high < SURROGATE_MIN || low > SURROGATE_MAX) {
    pairs.push([low, high]);
    return;
  }
  if (high > SURROGATE_MAX) pairs.push([SURROGATE_MAX + 1, high]);
}

/** Beyond this many ranges a name is shorter. */
const NATIVE_RANGES_MAX = 32;

/** Brackets of both; null when they are worth nothing. */
function joined(a: CharSet, b: CharSet): string | null {
  if (a.native === null && b.native === null) return null;
  const left = positiveBody(a);
  const right = positiveBody(b);
  return left === null || right === null ? null : left + right;
}

function positiveBody(set: CharSet): string | null {
  if (set.native !== null) return set.isNegated ? null : set.native;
  return set.ranges.length > 2 * NATIVE_RANGES_MAX ? null : nativeRanges(set.ranges);
}

/** A class of a native RegExp with flag `u`. */
export function nativeClass(set: CharSet): string {
  const { native, isNegated, ranges } = set;
  if (native !== null) return isNegated ? `[^${native}${SURROGATES}]` : `[${native}]`;
  if (ranges.at(-1) !== CHAR_MAX) return `[${nativeRanges(ranges)}]`;
  return `[^${nativeRanges(set.not().ranges)}${SURROGATES}]`;
}

const SURROGATES = String.raw`\ud800-\udfff`;

function nativeRanges(ranges: readonly number[]): string {
  let body = '';
  for (let i = 0; i < ranges.length; i += 2) {
    const low = ranges[i] ?? 0;
    const high = ranges[i + 1] ?? 0;
    body += nativeChar(low);
    if (high > low) body += (high > low + 1 ? '-' : '') + nativeChar(high);
  }
  return body;
}

/** One character, in or out of a class. */
export function nativeChar(code: number): string {
  const isPlain =
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x5f;
  return isPlain ? String.fromCharCode(code) : `\\u{${code.toString(16)}}`;
}
