/**
 * Checks that no attribute expresses. Each answers null, or Kong's text for what is wrong.
 *
 * Source: Kong `kong/db/schema/typedefs.lua`
 */
import { fromUtf8, utf8 } from '../base/bytes.ts';
import { compileRouteRegex } from '../regex/regex.ts';
import { INVALID_PORT, parseHost } from './host.ts';
import { parseUrl } from './url.ts';

/** Names of entities: any script, but of ASCII only what needs no escaping in a URL. */
export function utf8NameError(name: string): string | null {
  if (/^[A-Za-z0-9.\-_~\u{80}-\u{10FFFF}]+$/u.test(name)) return null;
  return `invalid value '${name}': the only accepted ascii characters are alphanumerics or ., -, _, and ~`;
}

/** Printable, without the two characters that the tag filter gives a meaning. */
export function tagError(tag: string): string | null {
  if (/^[\x20-\x2b\x2d\x2e\x30-\x7e\u{80}-\u{10FFFF}]+$/u.test(tag)) return null;
  return `invalid tag '${tag}': expected printable ascii (except \`,\` and \`/\`) or valid utf-8 sequences`;
}

/** A host name or address without a port. */
export function hostError(text: string): string | null {
  const parsed = parseHost(text);
  if (!parsed.ok) {
    return parsed.error === INVALID_PORT ? 'must not have a port' : `invalid value: ${text}`;
  }
  return parsed.host.port === null ? null : 'must not have a port';
}

export function hostWithOptionalPortError(text: string): string | null {
  const parsed = parseHost(text);
  return parsed.ok ? null : parsed.error;
}

/** A host of a route: any number of `*` is judged elsewhere, by patterns. */
export function routeHostError(text: string): string | null {
  return hostWithOptionalPortError(text.replaceAll('*', 'abc'));
}

/** A server name of TLS: a host name, neither address nor port. */
export function sniError(text: string): string | null {
  const parsed = parseHost(text);
  if (parsed.ok && parsed.host.kind !== 'name') return 'must not be an IP';
  return hostError(text);
}

/** As `sniError`, with one `*` at either end. */
export function wildcardHostError(text: string): string | null {
  const star = text.indexOf('*');
  if (star === -1) return sniError(text);
  if (star !== 0 && star !== text.length - 1) {
    return 'wildcard must be leftmost or rightmost character';
  }
  if (text.includes('*', star + 1)) return 'only one wildcard must be specified';
  const error = sniError(text.replace('*', 'wildcard'));
  return error === null || error.startsWith('must') ? error : `invalid value: ${text}`;
}

/** An absolute URL: with scheme and host. What follows the host is not looked at, as in Kong. */
export function urlError(text: string): string | null {
  const url = parseUrl(text);
  if (url.host === null) return 'missing host in url';
  return url.scheme === null ? 'missing scheme in url' : null;
}

export function ipOrCidrError(text: string): string | null {
  const [address = '', bits, ...rest] = text.split('/');
  const parsed = parseHost(address);
  const isAddress =
    parsed.ok &&
    parsed.host.kind !== 'name' &&
    parsed.host.port === null &&
    !address.startsWith('[') &&
    rest.length === 0;
  const max = parsed.ok && parsed.host.kind === 'ipv6' ? 128 : 32;
  const isFine =
    isAddress && (bits === undefined || (/^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= max));
  return isFine ? null : `invalid ip or cidr range: '${text}'`;
}

export function headerNameError(name: string): string | null {
  if (/^[a-zA-Z0-9_-]+$/.test(name)) return null;
  return `bad header name '${name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'`;
}

export function cookieNameError(name: string): string | null {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (!/[\x00-\x20\x7f()<>@,;:\\"/?={}[\]]/.test(name)) return null;
  return (
    'contains one or more invalid characters. ASCII control characters (0-31;127), space, tab ' +
    'and the characters ()<>@,;:\\"/?={}[] are not allowed.'
  );
}

/** A path that goes upstream: characters of RFC 3986, escapes well formed. */
export function pathError(path: string): string | null {
  if (!/^\/[A-Za-z0-9.\-_~/%:@!$&'()*+,;=]*$/.test(path)) {
    return `invalid path: '${path}' (characters outside of the reserved list of RFC 3986 found)`;
  }
  return escapeError(path);
}

function escapeError(path: string): string | null {
  const malformed = /%(?![0-9A-Fa-f]{2}).{0,2}/s.exec(path);
  return malformed === null ? null : `invalid url-encoded value: '${malformed[0]}'`;
}

/** `/prefix`, already in normal form, or `~/regex`, which must compile. */
export function routePathError(path: string): string | null {
  if (path.startsWith('~')) {
    const compiled = compileRouteRegex(path.slice(1));
    return compiled.ok ? null : `invalid regex: '${path.slice(1)}' (${compiled.reason})`;
  }
  const isUsual = /^[A-Za-z0-9.\-_~/%:@!$&'()*+,;=]*$/.test(path);
  const error = isUsual ? escapeError(path) : null;
  if (error !== null) return error;
  const normal = normalizePath(path);
  return path === normal ? null : `non-normalized path, consider use '${normal}' instead`;
}

/** Escapes of these keep their meaning and stay; all others are undone. */
const RESERVED = new Set(utf8("!*'();:@&=+$,/?%#[]"));

/** Undoes needless escapes, resolves dot segments, merges slashes. Source: Kong `tools/uri.lua`. */
export function normalizePath(path: string): string {
  const plain = path.includes('%') ? unescapePath(path) : path;
  const segments: string[] = [];
  const parts = plain.split('/').slice(1);
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    if (part === '..') segments.pop();
    else if (part !== '.' && part !== '') segments.push(part);
    // A path that ends in a slash or a dot segment keeps its slash.
    if (isLast && (part === '' || part === '.' || part === '..')) segments.push('');
  }
  return `/${segments.join('/')}`;
}

function unescapePath(path: string): string {
  // Latin-1 letters stand for bytes until all escapes are undone.
  const bytes = Array.from(utf8(path), (byte) => String.fromCharCode(byte)).join('');
  const plain = bytes.replaceAll(/%([0-9A-Fa-f]{2})/g, (escape, digits: string) => {
    const byte = Number.parseInt(digits, 16);
    return RESERVED.has(byte) ? escape.toUpperCase() : String.fromCharCode(byte);
  });
  return fromUtf8(Uint8Array.from(plain, (letter) => letter.charCodeAt(0)));
}
