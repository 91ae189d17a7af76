/**
 * From the syntax of Rust's `regex` crate to RE2's. Most of it is common to both; what is not is
 * rewritten where an exact equivalent exists and refused where there is none, so that a pattern
 * never means something else here than its author wrote. What Rust refuses and RE2 would accept is
 * refused too: it would stop working in Kong.
 */

export type TranslatedRegex =
  | { readonly ok: true; readonly pattern: string }
  | { readonly ok: false; readonly reason: string };

/** Alphabetic symbols that are neither letters nor marks. */
const CIRCLED =
  '\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}';

/**
 * Rust's Perl classes are Unicode-aware; RE2's are ASCII. Bodies for use within brackets; each
 * begins with a class, so that `[+-\s]` stays the error it is in Rust.
 */
const PERL_CLASSES: ReadonlyMap<string, string> = new Map([
  ['d', '\\p{Nd}'],
  ['w', `\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200C}\\x{200D}${CIRCLED}`],
  ['s', '\\p{Z}\\x{85}\\t-\\r'],
]);

/** Letters whose escape both engines read alike. */
const SHARED_ESCAPES = 'afnrtvAz';
const HEX = /^[0-9A-Fa-f]+$/;
const REPETITION = /^\{\d+(?:,\d*)?\}/;
const POSIX_CLASS = /^\[:\^?[a-z]+:\]/;
const GROUP_NAME = /^\(\?P?<[A-Za-z_][A-Za-z0-9_]*>/;
const GROUP_FLAGS = /^\(\?(?:[imsU]+(?:-[imsU]+)?|-[imsU]+)?[:)]/;
/** Word boundaries of ASCII, spelled in Rust with Unicode off. */
const ASCII_BOUNDARY = /^\(\?-u:(\\[bB])\)/;

/** Why a pattern is refused; thrown and caught within this file. */
class Refusal extends Error {
  override readonly name = 'Refusal';
}

export function translateRustRegex(source: string): TranslatedRegex {
  try {
    return { ok: true, pattern: new Translator(source).run() };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, reason: error.message };
    throw error;
  }
}

class Translator {
  readonly #source: string;
  #at = 0;
  #out = '';
  /** Open groups: `a)(b` must not become valid inside a group put around it. */
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): string {
    while (this.#at < this.#source.length) this.#item();
    if (this.#depth > 0) throw new Refusal('missing closing )');
    return this.#out;
  }

  #item(): void {
    const char = this.#source.charAt(this.#at);
    if (char === '\\') this.#escape(false);
    else if (char === '[') this.#class();
    else if (char === '(') this.#group();
    else if (char === ')') this.#groupEnd();
    else if (char === '{') this.#repetition();
    else this.#copy(1);
  }

  #group(): void {
    const rest = this.#source.slice(this.#at);
    if (!rest.startsWith('(?')) {
      this.#depth += 1;
      return this.#copy(1);
    }
    if (/^\(\?<?[=!]/.test(rest)) throw new Refusal('look-around is not supported');
    const boundary = ASCII_BOUNDARY.exec(rest);
    if (boundary !== null) {
      this.#out += boundary[1];
      this.#at += boundary[0].length;
      return;
    }
    const opening = GROUP_NAME.exec(rest) ?? GROUP_FLAGS.exec(rest);
    if (opening === null || opening[0] === '(?)') {
      throw new Refusal(`unsupported group at ${this.#at}: ${rest.slice(0, 8)}`);
    }
    // `(?i)` sets flags and opens nothing.
    if (!opening[0].endsWith(')')) this.#depth += 1;
    this.#copy(opening[0].length);
  }

  #groupEnd(): void {
    if (this.#depth === 0) throw new Refusal('unexpected )');
    this.#depth -= 1;
    this.#copy(1);
  }

  #repetition(): void {
    // Rust refuses a brace that repeats nothing; RE2 reads it as a literal.
    const match = REPETITION.exec(this.#source.slice(this.#at, this.#at + 24));
    if (match === null)
      throw new Refusal(`invalid repetition at ${this.#at}; write \\{ for a brace`);
    this.#copy(match[0].length);
  }

  #class(): void {
    this.#copy(1);
    if (this.#peek(1) === '^') this.#copy(1);
    // A first `]` is a literal, and so is `-` wherever it makes no range.
    if (this.#peek(1) === ']') this.#copy(1);
    while (this.#at < this.#source.length) {
      const char = this.#peek(1);
      if (char === ']') return this.#copy(1);
      const pair = this.#peek(2);
      if (pair === '&&' || pair === '--' || pair === '~~') {
        throw new Refusal(`class set operation ${pair} is not supported`);
      }
      if (char === '\\') this.#escape(true);
      else if (char === '[') this.#posixClass();
      else this.#copy(1);
    }
    throw new Refusal('missing closing ]');
  }

  #posixClass(): void {
    const match = POSIX_CLASS.exec(this.#source.slice(this.#at, this.#at + 16));
    if (match === null)
      throw new Refusal('nested classes are not supported; write \\[ for a bracket');
    this.#copy(match[0].length);
  }

  #escape(inClass: boolean): void {
    const char = this.#source.charAt(this.#at + 1);
    if (char === '') throw new Refusal('trailing backslash');
    const perl = PERL_CLASSES.get(char.toLowerCase());
    if (perl !== undefined) return this.#perlClass(char, perl, inClass);
    if (char >= '0' && char <= '9') throw new Refusal('back-references are not supported');
    if (char === 'x' || char === 'u' || char === 'U') return this.#codePoint(char);
    if (char === 'p' || char === 'P') return this.#property();
    if (char === 'b' || char === 'B') {
      throw new Refusal(`\\${char} is not supported; write (?-u:\\${char}) for ASCII words`);
    }
    const isLetter = /[A-Za-z]/.test(char);
    if (char === '<' || char === '>' || char.charCodeAt(0) > 0x7e) {
      throw new Refusal(`\\${char} is not supported`);
    }
    if (isLetter && !SHARED_ESCAPES.includes(char)) throw new Refusal(`\\${char} is not supported`);
    if (inClass && (char === 'A' || char === 'z')) throw new Refusal(`\\${char} within a class`);
    this.#copy(2);
  }

  #perlClass(char: string, body: string, inClass: boolean): void {
    this.#at += 2;
    const negated = char !== char.toLowerCase();
    if (!inClass) this.#out += negated ? `[^${body}]` : `[${body}]`;
    else if (!negated) this.#out += body;
    else if (char === 'D') this.#out += '\\P{Nd}';
    else throw new Refusal(`\\${char} within a class is not supported`);
    // `[\w-z]` is an error in Rust; here its `-z` would join the last range of the body.
    if (inClass && this.#peek(1) === '-' && this.#source.charAt(this.#at + 1) !== ']') {
      throw new Refusal('a class such as \\w cannot begin a range; write \\-');
    }
  }

  #codePoint(kind: string): void {
    const digitsAt = this.#at + 2;
    let digits: string;
    let end: number;
    if (this.#source.charAt(digitsAt) === '{') {
      end = this.#source.indexOf('}', digitsAt);
      digits = end < 0 ? '' : this.#source.slice(digitsAt + 1, end);
      end += 1;
    } else {
      end = digitsAt + (kind === 'x' ? 2 : kind === 'u' ? 4 : 8);
      digits = this.#source.slice(digitsAt, end);
      if (digits.length !== end - digitsAt) digits = '';
    }
    if (!HEX.test(digits) || digits.length > 8 || Number.parseInt(digits, 16) > 0x10ffff) {
      throw new Refusal(`invalid code point at ${this.#at}`);
    }
    this.#out += `\\x{${digits}}`;
    this.#at = end;
  }

  #property(): void {
    const match = /^\\[pP](?:[A-Za-z]|\{[A-Za-z_]+\})/.exec(
      this.#source.slice(this.#at, this.#at + 64),
    );
    if (match === null) throw new Refusal(`unsupported Unicode property at ${this.#at}`);
    this.#copy(match[0].length);
  }

  #peek(length: number): string {
    return this.#source.slice(this.#at, this.#at + length);
  }

  #copy(length: number): void {
    this.#out += this.#source.slice(this.#at, this.#at + length);
    this.#at += length;
  }
}
