/** Whether a look holds at a place in a text. */
import type { Look } from './tree.ts';
import { perlClass } from './unicode.ts';

const LF = 0x0a;
const CR = 0x0d;

/** @param at  in UTF-16 units, not within a surrogate pair */
export function holdsAt(look: Look, text: string, at: number): boolean {
  const before = codeBefore(text, at);
  const after = text.codePointAt(at) ?? -1;
  switch (look) {
    case 'text-start':
      return before < 0;
    case 'text-end':
      return after < 0;
    case 'line-start':
      return before < 0 || before === LF;
    case 'line-end':
      return after < 0 || after === LF;
    case 'crlf-line-start':
      return before < 0 || before === LF || (before === CR && after !== LF);
    case 'crlf-line-end':
      return after < 0 || after === CR || (after === LF && before !== CR);
    default:
      return wordHolds(look, isWord(before, look), isWord(after, look));
  }
}

function codeBefore(text: string, at: number): number {
  if (at === 0) return -1;
  const low = text.charCodeAt(at - 1);
  const isPair = low >= 0xdc00 && low <= 0xdfff && at > 1;
  return isPair ? (text.codePointAt(at - 2) ?? low) : low;
}

function isWord(code: number, look: string): boolean {
  return code >= 0 && perlClass('w', look.startsWith('unicode')).has(code);
}

function wordHolds(look: string, before: boolean, after: boolean): boolean {
  switch (look.slice(look.indexOf('-') + 1)) {
    case 'boundary':
      return before !== after;
    case 'not-boundary':
      return before === after;
    case 'word-start':
      return !before && after;
    case 'word-end':
      return before && !after;
    case 'word-start-half':
      return !before;
    default:
      return !after;
  }
}
