/**
 * The one reading of a request target. Router, plugins, logs and the upstream request line all use
 * what comes out of here, so what was matched is what is forwarded.
 *
 * Normalisation is Kong's (`kong/tools/uri.lua`): escapes decoded except those of reserved
 * characters, dot segments removed, slashes merged; escaped again on the way out. The edge runtime
 * parses a target as a WHATWG URL before anybody can see it; whatever the two would read differently
 * is refused here (decision 23), and so are dot segments that only a lenient upstream would see.
 */

export type TargetRefusal =
  /** Does not begin with `/`. */
  | 'not_origin_form'
  /** A raw control character, space, `#` or non-ASCII character; an encoded NUL. */
  | 'invalid_character'
  /** `%` without two hexadecimal digits. */
  | 'invalid_escape'
  /** Runtimes or upstreams would read it differently; accepted with `allowOdd`. */
  | 'ambiguous';

export interface NormalizedTarget {
  readonly ok: true;
  /** For matching: unreserved characters decoded, dot segments removed, `//` merged. */
  readonly path: string;
  /** The same, escaped, as it goes upstream when nothing is stripped. */
  readonly forward: string;
  /** Raw, byte for byte, without `?`; null when there was no `?`. */
  readonly query: string | null;
  /**
   * What lenient upstreams would take the path for: decoded once more or twice, `;` parameters cut
   * off, `\\` for `/`. Whoever gives a path to a route must see that none of them is another's.
   */
  readonly lenientPaths: readonly string[];
}

export type TargetResult =
  | NormalizedTarget
  | { readonly ok: false; readonly reason: TargetRefusal };

export interface TargetOptions {
  /** Accept what is `ambiguous`, read as Kong reads it. */
  readonly allowOdd: boolean;
}

// Character classes; 0 is plain.
/** Must be decoded, escaped or looked at. */
const SPECIAL = 1;
const FORBIDDEN = 2;

const PERCENT = 0x25;
const DOT = 0x2e;
const SLASH = 0x2f;
const QUESTION = 0x3f;

/** RFC 3986 section 2.2, and `%` itself: their escapes carry meaning and stay. */
const RESERVED = "!*'();:@&=+$,/?%#[]";
/** Whatever is neither reserved, unreserved nor an escape; Kong's set. */
const ESCAPED_ON_FORWARD = /[^!#$&'()*+,/:;=?@[\]A-Za-z0-9\-_.~%]+/gu;

const CLASSES = makeClasses();
const IS_RESERVED = makeReserved();

/**
 * Reads a request target in origin form.
 *
 * @param target  as received, path and query; linear in its length
 * Source: Kong `router/utils.lua` strip_uri_args, `tools/uri.lua`; RFC 3986 sections 5.2.4 and 6.2.2
 */
export function normalizeTarget(target: string, options: TargetOptions): TargetResult {
  if (target.charCodeAt(0) !== SLASH) return refuse('not_origin_form');
  let special = false;
  let previous = SLASH;
  let end = 1;
  for (; end < target.length; end += 1) {
    const code = target.charCodeAt(end);
    if (code === QUESTION) break;
    if (code > 0x7e) return refuse('invalid_character');
    const kind = CLASSES[code];
    if (kind === FORBIDDEN) return refuse('invalid_character');
    // A segment that begins with a dot, or an empty one, needs the long way.
    if (kind === SPECIAL || (previous === SLASH && (code === DOT || code === SLASH)))
      special = true;
    previous = code;
  }
  let query: string | null = null;
  if (end < target.length) {
    if (!isCleanQuery(target, end + 1)) return refuse('invalid_character');
    query = target.slice(end + 1);
  }
  const raw = query === null ? target : target.slice(0, end);
  if (!special) return { ok: true, path: raw, forward: raw, query, lenientPaths: NONE };
  return normalizeSpecial(raw, query, options.allowOdd);
}

/**
 * Escapes a normalised path for a request line: everything but reserved and unreserved characters
 * and existing escapes.
 */
export function escapePath(path: string): string {
  // The common case must not pay for the replacement.
  for (let i = 0; i < path.length; i += 1) {
    const code = path.charCodeAt(i);
    if (code > 0x7e || code <= 0x20 || (code !== PERCENT && CLASSES[code] === SPECIAL)) {
      return path.replace(ESCAPED_ON_FORWARD, encodeURIComponent);
    }
  }
  return path;
}

function refuse(reason: TargetRefusal): TargetResult {
  return { ok: false, reason };
}

function isCleanQuery(target: string, from: number): boolean {
  for (let i = from; i < target.length; i += 1) {
    const code = target.charCodeAt(i);
    if (code > 0x7e || CLASSES[code] === FORBIDDEN) return false;
  }
  return true;
}

function normalizeSpecial(raw: string, query: string | null, allowOdd: boolean): TargetResult {
  // `"`, `<`, `>` and the backtick are refused by the edge's server; `\` is a slash to WHATWG.
  if (!allowOdd && /["<>\\`]/.test(raw)) return refuse('ambiguous');
  let decoded = raw;
  if (raw.includes('%')) {
    const result = decodeUnreserved(raw, allowOdd);
    if (typeof result !== 'string') return result;
    decoded = result;
  }
  const path = removeDotSegments(decoded, allowOdd);
  if (path === null) return refuse('ambiguous');
  if (!allowOdd && hasHiddenDots(path)) return refuse('ambiguous');
  const lenientPaths = allowOdd ? NONE : readLeniently(path);
  return { ok: true, path, forward: escapePath(path), query, lenientPaths };
}

function decodeUnreserved(raw: string, allowOdd: boolean): string | TargetResult {
  let out = '';
  let copied = 0;
  for (let i = raw.indexOf('%'); i >= 0; i = raw.indexOf('%', i)) {
    out += raw.slice(copied, i);
    const byte = byteAt(raw, i);
    if (byte < 0) return refuse('invalid_escape');
    if (byte === 0) return refuse('invalid_character');
    if (byte >= 0x80) {
      const runEnd = endOfHighRun(raw, i);
      const escapes = raw.slice(i, runEnd);
      const text = decodeUtf8Escapes(escapes);
      if (text === null && !allowOdd) return refuse('ambiguous');
      out += text ?? escapes.toUpperCase();
      i = runEnd;
    } else {
      if (!allowOdd && (byte < 0x20 || byte === 0x7f)) return refuse('ambiguous');
      if (IS_RESERVED[byte] === 1) out += raw.slice(i, i + 3).toUpperCase();
      else out += String.fromCharCode(byte);
      i += 3;
    }
    copied = i;
  }
  return out + raw.slice(copied);
}

/** The byte that an escape at `at` stands for; -1 when it is malformed. */
function byteAt(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at + 1));
  const low = hexDigit(text.charCodeAt(at + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** NaN (past the end) compares false everywhere and comes out as -1. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function endOfHighRun(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) === PERCENT && byteAt(text, at) >= 0x80) at += 3;
  return at;
}

/** Null for anything but well-formed UTF-8: overlong forms and surrogates included. */
function decodeUtf8Escapes(escapes: string): string | null {
  try {
    return decodeURIComponent(escapes);
  } catch {
    return null;
  }
}

/**
 * Null when `..` would remove an empty segment: WHATWG counts those, Kong has merged them by then.
 */
function removeDotSegments(path: string, allowOdd: boolean): string | null {
  const segments = path.split('/');
  const kept: string[] = [];
  const last = segments.length - 1;
  let trailingSlash = false;
  for (let i = 1; i <= last; i += 1) {
    const segment = segments[i] as string;
    if (segment === '..') {
      if (kept.at(-1) === '') {
        if (!allowOdd) return null;
        while (kept.at(-1) === '') kept.pop();
      }
      kept.pop();
    } else if (segment !== '.' && (segment !== '' || i < last)) {
      kept.push(segment);
      continue;
    }
    trailingSlash = i === last;
  }
  const merged = kept.filter((segment) => segment !== '').join('/');
  return merged === '' ? '/' : `/${merged}${trailingSlash ? '/' : ''}`;
}

/**
 * Whether an upstream that decodes escaped slashes, decodes twice, takes `\` for `/`, or cuts path
 * parameters would find a dot segment: `..%2fadmin`, `%252e%252e`, `..;x`, `..%5c`.
 */
function hasHiddenDots(path: string): boolean {
  if (!path.includes('.') && !path.includes('%25')) return false;
  if (!/[%;\\]|\.\s/.test(path)) return false;
  const lenient = decodeLenient(decodeLenient(path));
  return lenient.split(/[/\\]/).some((segment) => {
    const name = segment.split(';', 1)[0] ?? '';
    return /^\.{1,2}\s*$/.test(name);
  });
}

function decodeLenient(text: string): string {
  return text.replace(/%(25|2e|2f|5c|3b|20)/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

const NONE: readonly string[] = [];

function readLeniently(path: string): readonly string[] {
  if (!/[%;\\]/.test(path)) return NONE;
  const readings = new Set<string>();
  const once = decodeAscii(path);
  const cutFirst = decodeAscii(cutParameters(path));
  for (const text of [path, once, decodeAscii(once), cutFirst, decodeAscii(cutFirst)]) {
    for (const reading of [text, cutParameters(text)]) {
      readings.add(removeDotSegments(reading.replaceAll('\\', '/'), true) ?? reading);
    }
  }
  readings.delete(path);
  return [...readings];
}

function decodeAscii(text: string): string {
  return text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function cutParameters(path: string): string {
  return path.replace(/;[^/]*/g, '');
}

function makeClasses(): Uint8Array {
  const classes = new Uint8Array(128);
  classes.fill(FORBIDDEN, 0, 0x21);
  classes[0x7f] = FORBIDDEN;
  classes['#'.charCodeAt(0)] = FORBIDDEN;
  for (const char of '%;"<>\\^`{|}') classes[char.charCodeAt(0)] = SPECIAL;
  return classes;
}

function makeReserved(): Uint8Array {
  const reserved = new Uint8Array(128);
  for (const char of RESERVED) reserved[char.charCodeAt(0)] = 1;
  return reserved;
}
