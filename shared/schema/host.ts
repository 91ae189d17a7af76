/**
 * Host names and addresses with an optional port, as operators write them: of services, upstreams,
 * targets and routes.
 *
 * Source: Kong `kong/tools/ip.lua`, normalize_ip and format_host
 */

export type HostKind = 'ipv4' | 'ipv6' | 'name';

export interface Host {
  readonly kind: HostKind;
  /** Name as given; IPv4 without leading zeros; IPv6 expanded, lower case, without brackets. */
  readonly host: string;
  readonly port: number | null;
}

export type ParsedHost =
  | { readonly ok: true; readonly host: Host }
  | { readonly ok: false; readonly error: string };

export const INVALID_PORT = 'invalid port number';

/** Reads `name`, `name:port`, `1.2.3.4`, `1.2.3.4:port`, `::1`, `[::1]`, `[::1]:port`. */
export function parseHost(text: string): ParsedHost {
  switch (kindOf(text)) {
    case 'ipv4':
      return parseIpv4(text);
    case 'ipv6':
      return parseIpv6(text);
    default:
      return parseName(text);
  }
}

/** `host:port`, IPv6 in brackets; `fallbackPort` where none was given. */
export function formatHost(host: Host, fallbackPort: number): string {
  const name = host.kind === 'ipv6' ? `[${host.host}]` : host.host;
  return `${name}:${host.port ?? fallbackPort}`;
}

/** By exclusion: what has two colons can only be IPv6, valid or not. */
function kindOf(text: string): HostKind {
  const colon = text.indexOf(':');
  if (colon !== -1 && text.includes(':', colon + 1)) return 'ipv6';
  return /^[\d.:]+$/.test(text) && /[\d.]/.test(text) ? 'ipv4' : 'name';
}

function fail(error: string): ParsedHost {
  return { ok: false, error };
}

function portOf(digits: string | undefined): number | null | 'invalid' {
  if (digits === undefined) return null;
  const port = Number(digits);
  return port > 65_535 ? 'invalid' : port;
}

function parseIpv4(text: string): ParsedHost {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?::(\d+))?$/.exec(text);
  const numbers = match?.slice(1, 5).map(Number);
  if (numbers === undefined || numbers.some((number) => number > 255)) {
    return fail(`invalid ipv4 address: ${text}`);
  }
  const port = portOf(match?.[5]);
  if (port === 'invalid') return fail(INVALID_PORT);
  return { ok: true, host: { kind: 'ipv4', host: numbers.join('.'), port } };
}

function parseIpv6(text: string): ParsedHost {
  const bracketed = /^\[([^[\]]*)\](.*)$/s.exec(text);
  let address = text;
  let port: number | null | 'invalid' = null;
  if (bracketed !== null) {
    address = bracketed[1] ?? '';
    const rest = bracketed[2] ?? '';
    if (rest !== '') {
      if (!/^:\d+$/.test(rest)) return fail('invalid ipv6 address');
      port = portOf(rest.slice(1));
      if (port === 'invalid') return fail(INVALID_PORT);
    }
  }
  const expanded = expandIpv6(address);
  if (expanded === null) return fail(`invalid ipv6 address: ${text}`);
  return { ok: true, host: { kind: 'ipv6', host: expanded, port } };
}

function expandIpv6(address: string): string | null {
  const halves = address.split('::');
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array.from({ length: missing }, () => '0'), ...tail];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  return groups.map((group) => group.toLowerCase().padStart(4, '0')).join(':');
}

function parseName(text: string): ParsedHost {
  const invalid = fail(`invalid hostname: ${text}`);
  const colon = text.lastIndexOf(':');
  const digits = colon === -1 ? undefined : text.slice(colon + 1);
  const hasPort = digits !== undefined && /^\d+$/.test(digits);
  const port = portOf(hasPort ? digits : undefined);
  if (port === 'invalid') return fail(INVALID_PORT);
  const name = hasPort ? text.slice(0, colon) : text;
  if (!/^[A-Za-z0-9._-]+$/.test(name)) return invalid;
  const labels = name.split('.');
  const isFine = labels.every(
    (label, index) => !label.endsWith('-') && (label !== '' || index === labels.length - 1),
  );
  return isFine ? { ok: true, host: { kind: 'name', host: name, port } } : invalid;
}
