/**
 * What matches: the native engine where that is shown to be safe, re2js where it is not, an automaton of
 * our own where re2js has no words for the pattern.
 */
import { RE2JS } from 're2js';
import type { Matcher } from 're2js';
import { isExactNative, toNative } from './native.ts';
import { PikeRegex } from './pike.ts';
import { toRe2 } from './re2.ts';
import { RegexRefusal } from './refusal.ts';
import { safetyOf } from './safety.ts';
import { isAnchored, isNullable, literalPrefix } from './tree.ts';
import type { RegexTree } from './tree.ts';

/** Matching costs at most text × program: `a{1000}` nested twice must not pass as a short pattern. */
export const PROGRAM_SIZE_MAX = 20_000;
/**
 * Texts beyond this many UTF-16 units go to a linear engine: V8 keeps a stack of what it may go back to, and
 * throws when that is full.
 */
export const NATIVE_TEXT_MAX = 64 * 1024;

export interface RegexMatch {
  /** The whole match. */
  readonly matched: string;
  /** Named groups that took part; no prototype. */
  readonly named: Record<string, string>;
  /** Groups 1 … n in order; the empty string for one that took no part. */
  readonly indexed: string[];
}

export interface LinearRegex {
  /** What every text that matches begins with; empty when that is unknown. An index key. */
  readonly prefix: string;
  /** Instructions, roughly; at most `PROGRAM_SIZE_MAX`. */
  readonly size: number;
  /** A match that begins at the start of `text`; it need not reach the end. Null for none. */
  matchStart(text: string): RegexMatch | null;
  /** The first match in `text`, wherever it begins. Null for none. */
  search(text: string): RegexMatch | null;
  /** Whether there is a match anywhere in `text`. */
  test(text: string): boolean;
}

/**
 * Throws `RegexRefusal`.
 *
 * @param parse  makes the tree; trees are large beside what comes of them, and none is kept
 */
export function toEngine(parse: () => RegexTree): LinearRegex {
  const tree = parse();
  const { root } = tree;
  const anchored = isAnchored(root);
  const safety = isExactNative(root) ? safetyOf(root, !anchored) : null;
  if (safety === null || !safety.atStart) return linearEngine(tree);
  // V8 looks for a match between the halves of a surrogate pair too; only an empty one can be there.
  const isWhole = anchored || (safety.anywhere && !isNullable(root));
  return new NativeRegex(tree, parse, safety.size, isWhole);
}

/** What of a tree is needed to tell groups. */
type GroupNames = Pick<RegexTree, 'groupCount' | 'names'>;

class NativeRegex implements LinearRegex {
  readonly prefix: string;
  readonly size: number;
  readonly #groups: GroupNames;
  readonly #parse: () => RegexTree;
  readonly #start: RegExp;
  /** Null: a search would not be linear. */
  readonly #anywhere: RegExp | null;
  /** Null: not needed yet. */
  #linear: LinearRegex | null = null;

  /** @param isWhole  searching is safe as well */
  constructor(tree: RegexTree, parse: () => RegexTree, size: number, isWhole: boolean) {
    const source = toNative(tree.root);
    this.#groups = { groupCount: tree.groupCount, names: tree.names };
    this.#parse = parse;
    this.prefix = literalPrefix(tree.root);
    this.#start = new RegExp(source, 'uy');
    if (isAnchored(tree.root)) this.#anywhere = this.#start;
    else this.#anywhere = isWhole ? new RegExp(source, 'u') : null;
    if (this.#anywhere === null) this.#linear = linearEngine(tree);
    this.size = Math.max(size, this.#linear?.size ?? 0);
  }

  matchStart(text: string): RegexMatch | null {
    if (text.length > NATIVE_TEXT_MAX) return this.#linearEngine().matchStart(text);
    this.#start.lastIndex = 0;
    return this.#groupsOf(this.#start.exec(text));
  }

  search(text: string): RegexMatch | null {
    const regex = this.#anywhere;
    if (regex === null || text.length > NATIVE_TEXT_MAX) return this.#linearEngine().search(text);
    regex.lastIndex = 0;
    return this.#groupsOf(regex.exec(text));
  }

  test(text: string): boolean {
    const regex = this.#anywhere;
    if (regex === null || text.length > NATIVE_TEXT_MAX) return this.#linearEngine().test(text);
    regex.lastIndex = 0;
    return regex.test(text);
  }

  #linearEngine(): LinearRegex {
    this.#linear ??= linearEngine(this.#parse());
    return this.#linear;
  }

  #groupsOf(groups: RegExpExecArray | null): RegexMatch | null {
    if (groups === null) return null;
    const named: Record<string, string> = Object.create(null);
    for (const [name, index] of this.#groups.names) {
      const value: string | undefined = groups[index];
      if (value !== undefined) named[name] = value;
    }
    const indexed: string[] = [];
    // The type of RegExpExecArray hides that a group may have taken no part.
    for (let i = 1; i <= this.#groups.groupCount; i += 1) indexed.push(groups[i] ?? '');
    return { matched: groups[0], named, indexed };
  }
}

/** Throws `RegexRefusal`. */
function linearEngine(tree: RegexTree): LinearRegex {
  const source = toRe2(tree.root);
  return source === null ? new PikeRegex(tree) : new Re2Regex(tree, source);
}

class Re2Regex implements LinearRegex {
  readonly prefix: string;
  readonly size: number;
  readonly #engine: RE2JS;
  readonly #groups: GroupNames;

  constructor(tree: RegexTree, source: string) {
    this.#groups = { groupCount: tree.groupCount, names: tree.names };
    this.prefix = literalPrefix(tree.root);
    this.#engine = compileRe2(source);
    this.size = this.#engine.programSize();
    if (this.size > PROGRAM_SIZE_MAX) throw new RegexRefusal('too large');
  }

  test(text: string): boolean {
    return this.#engine.test(text);
  }

  matchStart(text: string): RegexMatch | null {
    // `test` stays in the DFA, which is several times faster than a search with groups.
    if (!this.#engine.test(text)) return null;
    const matcher = this.#engine.matcher(text);
    return matcher.lookingAt() ? this.#groupsOf(matcher) : null;
  }

  search(text: string): RegexMatch | null {
    if (!this.#engine.test(text)) return null;
    const matcher = this.#engine.matcher(text);
    return matcher.find() ? this.#groupsOf(matcher) : null;
  }

  #groupsOf(matcher: Matcher): RegexMatch {
    const named: Record<string, string> = Object.create(null);
    for (const [name, index] of this.#groups.names) {
      const value = matcher.group(index);
      if (value !== null) named[name] = value;
    }
    const indexed: string[] = [];
    for (let i = 1; i <= this.#groups.groupCount; i += 1) indexed.push(matcher.group(i) ?? '');
    return { matched: matcher.group(0) ?? '', named, indexed };
  }
}

function compileRe2(source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'does not compile';
    // Its own words quote what it was given, which nobody wrote.
    throw new RegexRefusal(
      /repeat/.test(reason) ? 'repetitions multiply beyond 1000' : 'too large',
      {
        cause: error,
      },
    );
  }
}
