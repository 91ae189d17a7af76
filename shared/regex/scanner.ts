/** A pattern and a place in it. */
import type { CharSet } from './char-set.ts';
import { RegexRefusal } from './refusal.ts';

/** Ranges of all classes together; `\w` has some 800. */
export const RANGES_MAX = 40_000;

const SPACE = /^\p{White_Space}$/u;

export class Scanner {
  readonly source: string;
  at = 0;
  /** Flag `x`: white space and comments say nothing. */
  isExtended = false;
  #ranges = 0;

  constructor(source: string) {
    this.source = source;
  }

  get isAtEnd(): boolean {
    return this.at >= this.source.length;
  }

  /** The character here; empty at the end. */
  get char(): string {
    const code = this.source.codePointAt(this.at);
    return code === undefined ? '' : String.fromCodePoint(code);
  }

  /** What is here, to be quoted. */
  get rest(): string {
    return this.source.slice(this.at, this.at + 12);
  }

  startsWith(text: string): boolean {
    return this.source.startsWith(text, this.at);
  }

  take(text: string): boolean {
    if (!this.startsWith(text)) return false;
    this.at += text.length;
    return true;
  }

  /** The character here, and on to the next. */
  next(): string {
    const { char } = this;
    this.at += char.length;
    return char;
  }

  /** As `next`, and past what says nothing. */
  nextPastSpace(): string {
    const char = this.next();
    this.skipSpace();
    return char;
  }

  skipSpace(): void {
    if (!this.isExtended) return;
    for (;;) {
      const { char } = this;
      if (SPACE.test(char)) this.at += char.length;
      else if (char === '#') {
        const end = this.source.indexOf('\n', this.at);
        this.at = end < 0 ? this.source.length : end + 1;
      } else return;
    }
  }

  skipAnySpace(): void {
    while (SPACE.test(this.char)) this.next();
  }

  /** The character after the one here, past what says nothing. */
  get after(): string {
    const { at } = this;
    this.nextPastSpace();
    const { char } = this;
    this.at = at;
    return char;
  }

  /** @param pattern  sticky */
  match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.source);
    if (found !== null) this.at += found[0].length;
    return found;
  }

  /** Counts what has been read: short patterns must not stand for large sets without end. */
  spend(set: CharSet): void {
    this.#ranges += set.ranges.length >> 1;
    if (this.#ranges > RANGES_MAX) {
      this.refuse(`classes have more than ${RANGES_MAX} ranges together`);
    }
  }

  refuse(reason: string): never {
    const where = this.isAtEnd ? 'at the end' : `at ${this.at}`;
    throw new RegexRefusal(`${reason} (${where})`);
  }
}
