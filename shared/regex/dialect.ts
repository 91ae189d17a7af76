/** What of the syntax is in force at a place. */

/**
 * `rust`: the syntax of Rust's `regex` crate, and its meaning. `pcre`: the part of PCRE's that needs no
 * backtracking, as nginx and Kong's plugins use it: classes of ASCII, braces literal where they repeat
 * nothing, no nested classes.
 */
export type Dialect = 'rust' | 'pcre';

export interface Flags {
  readonly dialect: Dialect;
  /** `i` */
  readonly ignoresCase: boolean;
  /** `m` */
  readonly isMultiLine: boolean;
  /** `s` */
  readonly dotTakesAll: boolean;
  /** `U` */
  readonly isLazy: boolean;
  /** `u` */
  readonly isUnicode: boolean;
  /** `R` */
  readonly isCrlf: boolean;
}

export function initialFlags(dialect: Dialect, ignoresCase: boolean): Flags {
  return {
    dialect,
    ignoresCase,
    isMultiLine: false,
    dotTakesAll: false,
    isLazy: false,
    isUnicode: dialect === 'rust',
    isCrlf: false,
  };
}

/** Without `u`, Rust matches bytes; a text has none beyond ASCII. */
export function isAsciiOnly(flags: Flags): boolean {
  return flags.dialect === 'rust' && !flags.isUnicode;
}
