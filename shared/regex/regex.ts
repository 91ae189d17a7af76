/**
 * Regular expressions written by operators, matched in time linear in the text (decision 24).
 *
 * The syntax is that of Rust's `regex` crate, which Kong's router uses. The engine is `re2js`: no
 * backtracking, so no pattern can stall a data plane. Where the two read a construct differently it
 * is translated when that is exact, and refused otherwise (`./rust-regex.ts`).
 */
import { RE2JS } from 're2js';
import type { Matcher } from 're2js';
import { translateRustRegex } from './rust-regex.ts';

/** Longest pattern accepted, in UTF-16 units. */
export const PATTERN_LENGTH_MAX = 8192;
/** Matching costs at most text × program: `a{1000}` nested twice must not pass as a short pattern. */
export const PROGRAM_SIZE_MAX = 20_000;

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
  /** A match that begins at the start of `text`; it need not reach the end. Null for none. */
  matchStart(text: string): RegexMatch | null;
  /** The first match in `text`, wherever it begins. Null for none. */
  search(text: string): RegexMatch | null;
  /** Whether there is a match anywhere in `text`. */
  test(text: string): boolean;
}

export type CompiledRegex =
  | { readonly ok: true; readonly regex: LinearRegex }
  | { readonly ok: false; readonly reason: string };

const TOO_LONG: CompiledRegex = {
  ok: false,
  reason: `longer than ${PATTERN_LENGTH_MAX} characters`,
};

/**
 * Compiles the regex of a route's path, without its leading `~`.
 *
 * Anchored at the start as a whole, alternatives included; not anchored at the end.
 * Source: Kong `router/transform.lua`, path_val_transform.
 */
export function compileRouteRegex(source: string): CompiledRegex {
  return compile(source, 0, true);
}

/**
 * Compiles the regex of a route's header value, without its leading `~*`: found anywhere, whatever
 * the case.
 */
export function compileHeaderRegex(source: string): CompiledRegex {
  return compile(source, RE2JS.CASE_INSENSITIVE, false);
}

/** Compiles the regex of a router expression (`~`): found anywhere in a text. */
export function compileExpressionRegex(source: string, ignoresCase: boolean): CompiledRegex {
  return compile(source, ignoresCase ? RE2JS.CASE_INSENSITIVE : 0, false);
}

/**
 * Compiles the regex of a plugin's configuration: found anywhere in a text.
 *
 * Kong's plugins use PCRE. The engine's own syntax is read as that reads it (`\b`, `\d` and `\w` are
 * of ASCII); what only PCRE has (look-around, back-references, possessive and atomic groups) is refused.
 */
export function compileSearchRegex(source: string): CompiledRegex {
  if (source.length > PATTERN_LENGTH_MAX) return TOO_LONG;
  return compileEngine(source, 0);
}

function compile(source: string, flags: number, anchored: boolean): CompiledRegex {
  if (source.length > PATTERN_LENGTH_MAX) return TOO_LONG;
  const translated = translateRustRegex(source);
  if (!translated.ok) return translated;
  const { pattern } = translated;
  return compileEngine(anchored ? `^(?:${pattern})` : pattern, flags);
}

function compileEngine(pattern: string, flags: number): CompiledRegex {
  try {
    const engine = RE2JS.compile(pattern, flags);
    if (engine.programSize() > PROGRAM_SIZE_MAX) return { ok: false, reason: 'too large' };
    return { ok: true, regex: new Re2Regex(engine) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : 'does not compile' };
  }
}

class Re2Regex implements LinearRegex {
  readonly prefix = '';
  readonly #engine: RE2JS;
  readonly #groups: number;
  /** Name and index of each named group. */
  readonly #names: readonly (readonly [string, number])[];

  constructor(engine: RE2JS) {
    this.#engine = engine;
    this.#groups = engine.groupCount();
    this.#names = Object.entries(engine.namedGroups());
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
    for (const [name, index] of this.#names) {
      const value = matcher.group(index);
      if (value !== null) named[name] = value;
    }
    const indexed: string[] = [];
    for (let i = 1; i <= this.#groups; i += 1) indexed.push(matcher.group(i) ?? '');
    return { matched: matcher.group(0) ?? '', named, indexed };
  }
}
