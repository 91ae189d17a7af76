/**
 * Regexes of a router that ran PCRE: what of them no linear engine can do, by name, and what to
 * write instead where that is known.
 */
import type { CompiledRegex } from '#shared/regex/regex.ts';

interface Construct {
  readonly name: string;
  readonly found: RegExp;
  /** A pattern that matches the same or, where `isLooser`, more. Left out: there is none. */
  readonly rewrite?: (source: string) => string;
  readonly isLooser?: true;
  readonly advice?: string;
}

/** An escaped character, so that what follows it is not taken for syntax. */
const PLAIN = String.raw`(?<!\\)(?:\\\\)*`;

const EXCLUDING =
  'make another route for the excluded paths, with a greater regex_priority or a longer path';

const CONSTRUCTS: readonly Construct[] = [
  { name: 'look-ahead', found: after(String.raw`\(\?[=!]`), advice: EXCLUDING },
  { name: 'look-behind', found: after(String.raw`\(\?<[=!]`), advice: EXCLUDING },
  {
    name: 'an atomic group',
    found: after(String.raw`\(\?>`),
    rewrite: (source) => source.replaceAll('(?>', '(?:'),
    isLooser: true,
  },
  {
    name: 'a back-reference',
    found: after(String.raw`\\(?:[1-9]|k[<{'])|\(\?P=`),
    advice: 'write out what is repeated',
  },
  { name: 'recursion', found: after(String.raw`\(\?(?:[+-]?\d+|&\w+|P>)`) },
  { name: 'a conditional group', found: after(String.raw`\(\?\(`) },
  { name: '\\K or \\G', found: /\\[KG]/ },
  { name: '\\Z', found: /\\Z/, rewrite: (source) => source.replaceAll('\\Z', '\\z') },
  {
    name: '\\h',
    found: /\\h/,
    rewrite: (source) => source.replaceAll('\\h', String.raw`[\t ]`),
  },
  {
    name: 'a brace that repeats nothing',
    found: after(String.raw`\{(?!\d+(?:,\d*)?\})`),
    rewrite: (source) =>
      source.replaceAll(/(?<!\\|\\[pPxuU])\{(?!\d+(?:,\d*)?\})([^{}]*)\}/g, String.raw`\{$1\}`),
  },
];

function after(syntax: string): RegExp {
  return new RegExp(PLAIN + `(?:${syntax})`);
}

/**
 * Why a regex is refused, in a sentence: the constructs that stand in the way, and a pattern that
 * would be accepted, when there is one.
 *
 * @param compile  the engine; it has refused `source`
 * @param reason   the engine's own words
 */
export function refusalText(
  source: string,
  reason: string,
  compile: (source: string) => CompiledRegex,
): string {
  const found = CONSTRUCTS.filter((construct) => construct.found.test(source));
  if (found.length === 0) return reason;
  const names = found.map((construct) => construct.name).join(', ');
  return [
    `it uses ${names}, which an engine of linear time does not have`,
    advice(source, found, compile),
  ]
    .filter((part) => part !== '')
    .join('; ');
}

function advice(
  source: string,
  found: readonly Construct[],
  compile: (source: string) => CompiledRegex,
): string {
  const texts = found.flatMap((construct) => construct.advice ?? []);
  if (texts.length > 0) return [...new Set(texts)].join('; ');
  let rewritten = source;
  for (const { rewrite } of found) rewritten = rewrite?.(rewritten) ?? rewritten;
  if (rewritten === source || !compile(rewritten).ok) return '';
  const isLooser = found.some((construct) => construct.isLooser === true);
  return `try ${rewritten}${isLooser ? ', which may match more' : ''}`;
}
