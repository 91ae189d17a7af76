/**
 * Regular expressions written by operators, matched in time linear in the text (decision 24).
 *
 * The syntax is that of Rust's `regex` crate, which Kong's router uses. A parser of our own reads it
 * (`./parse.ts`); from its tree comes a native RegExp where matching is shown to be linear
 * (`./safety.ts`), a pattern for re2js where it is not, and a program for an automaton of our own where
 * re2js has no words (`./pike.ts`). All are told ranges of characters and plain operators only, so that
 * they cannot read a construct differently. What is too large for them is refused.
 */
import type { Dialect } from './dialect.ts';
import { toEngine } from './engine.ts';
import type { LinearRegex } from './engine.ts';
import { parseRegex } from './parse.ts';
import { RegexRefusal } from './refusal.ts';
import { concat } from './tree.ts';
import type { RegexTree } from './tree.ts';

export type { LinearRegex, RegexMatch } from './engine.ts';

/** Longest pattern accepted, in UTF-16 units. */
export const PATTERN_LENGTH_MAX = 8192;

export type CompiledRegex =
  | { readonly ok: true; readonly regex: LinearRegex }
  | { readonly ok: false; readonly reason: string };

/**
 * Compiles the regex of a route's path, without its leading `~`.
 *
 * Anchored at the start as a whole, alternatives included; not anchored at the end.
 * Source: Kong `router/transform.lua`, path_val_transform.
 */
export function compileRouteRegex(source: string): CompiledRegex {
  return compile(source, 'rust', false, ({ root, ...rest }) => ({
    root: concat([{ type: 'look', look: 'text-start' }, root]),
    ...rest,
  }));
}

/**
 * Compiles the regex of a route's header value, without its leading `~*`: found anywhere, whatever
 * the case.
 */
export function compileHeaderRegex(source: string): CompiledRegex {
  return compile(source, 'rust', true);
}

/** Compiles the regex of a router expression (`~`): found anywhere in a text. */
export function compileExpressionRegex(source: string, ignoresCase: boolean): CompiledRegex {
  return compile(source, 'rust', ignoresCase);
}

/**
 * Compiles the regex of a plugin's configuration: found anywhere in a text.
 *
 * Kong's plugins use PCRE. Its syntax is read as PCRE reads it without UTF mode (`\b`, `\d` and `\w` are
 * of ASCII, braces that repeat nothing are themselves), but `$` is the very end; what needs backtracking
 * (look-around, back-references, possessive and atomic groups) is refused.
 */
export function compileSearchRegex(source: string): CompiledRegex {
  return compile(source, 'pcre', false);
}

function compile(
  source: string,
  dialect: Dialect,
  ignoresCase: boolean,
  change: (tree: RegexTree) => RegexTree = (tree) => tree,
): CompiledRegex {
  if (source.length > PATTERN_LENGTH_MAX) {
    return { ok: false, reason: `longer than ${PATTERN_LENGTH_MAX} characters` };
  }
  try {
    const parse = () => change(parseRegex(source, dialect, ignoresCase));
    return { ok: true, regex: toEngine(parse) };
  } catch (error) {
    if (error instanceof RegexRefusal) return { ok: false, reason: error.message };
    throw error;
  }
}
