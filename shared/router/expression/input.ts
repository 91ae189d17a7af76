/**
 * What expressions look at of one request or connection. Made once and set to one after the other;
 * what takes work is done when an expression first asks for it, and once.
 */
import { fromUtf8, utf8 } from '../../base/bytes.ts';
import { parseIp } from '../../base/ip.ts';
import type { IpNumber } from '../../base/ip.ts';
import { splitHost } from '../../http/host.ts';
import type { HeaderList } from '../../http/headers.ts';
import type { RequestFacts, StreamFacts } from '../facts.ts';

const NONE: readonly string[] = [];

export class ExpressionInput {
  #request: RequestFacts | null = null;
  #protocol = '';
  #sni: string | null = null;
  #sourceAddress = '';
  #address = '';
  #sourcePort = 0;
  #port = 0;
  // `undefined`: not asked for yet.
  #host: string | null | undefined;
  #hostPort: number | null = null;
  #segments: readonly string[] | undefined;
  #queries: ReadonlyMap<string, string[]> | undefined;
  #sourceIp: IpNumber | null | undefined;
  #destinationIp: IpNumber | null | undefined;

  setRequest(facts: RequestFacts): void {
    this.#request = facts;
    this.#protocol = facts.scheme;
    this.#set(facts);
  }

  setStream(facts: StreamFacts): void {
    this.#request = null;
    // Kong calls TLS what names a server, terminated or not. Source: `router/atc.lua`, exec.
    if (facts.protocol === 'udp') this.#protocol = 'udp';
    else this.#protocol = facts.sni === null ? 'tcp' : 'tls';
    this.#set(facts);
  }

  /** Forgets the request, so that nothing of it is kept alive. */
  clear(): void {
    this.#request = null;
    this.#segments = undefined;
    this.#queries = undefined;
  }

  #set(facts: RequestFacts | StreamFacts): void {
    this.#sni = facts.sni;
    this.#sourceAddress = facts.sourceAddress;
    this.#sourcePort = facts.sourcePort;
    this.#address = facts.address;
    this.#port = facts.port;
    this.#host = undefined;
    this.#segments = undefined;
    this.#queries = undefined;
    this.#sourceIp = undefined;
    this.#destinationIp = undefined;
  }

  get protocol(): string {
    return this.#protocol;
  }

  get method(): string | null {
    return this.#request === null ? null : this.#request.method;
  }

  get path(): string | null {
    return this.#request === null ? null : this.#request.path;
  }

  /** Lower case, without a final dot. */
  get sni(): string | null {
    const sni = this.#sni;
    if (sni === null) return null;
    const lower = sni.toLowerCase();
    return lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower;
  }

  /** Lower case, without port. */
  get host(): string | null {
    if (this.#host === undefined) this.#readHost();
    return this.#host ?? null;
  }

  get sourcePort(): number {
    return this.#sourcePort;
  }

  /** The port that the Host header names, if it names one, as in Kong; else the listener's. */
  get destinationPort(): number {
    if (this.#host === undefined) this.#readHost();
    return this.#hostPort ?? this.#port;
  }

  get sourceIp(): IpNumber | null {
    if (this.#sourceIp === undefined) this.#sourceIp = parseIp(this.#sourceAddress);
    return this.#sourceIp;
  }

  get destinationIp(): IpNumber | null {
    if (this.#destinationIp === undefined) this.#destinationIp = parseIp(this.#address);
    return this.#destinationIp;
  }

  get headers(): HeaderList | null {
    return this.#request === null ? null : this.#request.headers;
  }

  /** The path cut at slashes; empty ones at its end do not count. */
  get segments(): readonly string[] {
    this.#segments ??= segmentsOf(this.path ?? '');
    return this.#segments;
  }

  /** Values of one name in the query, in order, escapes undone. */
  queryValues(name: string): readonly string[] {
    this.#queries ??= queriesOf(this.#request?.query ?? '');
    return this.#queries.get(name) ?? NONE;
  }

  #readHost(): void {
    const host = this.#request === null ? null : this.#request.host;
    if (host === null) {
      this.#host = null;
      this.#hostPort = null;
      return;
    }
    const { name, port } = splitHost(host.toLowerCase());
    this.#host = name;
    this.#hostPort = port;
  }
}

/** Source: Kong `router/fields.lua`, get_http_segments. */
function segmentsOf(path: string): readonly string[] {
  // `*` of OPTIONS, and no path at all.
  if (!path.startsWith('/')) return NONE;
  let end = path.length;
  while (end > 0 && path.charCodeAt(end - 1) === 0x2f) end -= 1;
  return end === 0 ? NONE : path.slice(1, end).split('/');
}

/** As OpenResty's `ngx.req.get_uri_args`, without its limit of 100: what it leaves out could hide. */
function queriesOf(query: string): ReadonlyMap<string, string[]> {
  const queries = new Map<string, string[]>();
  for (const argument of query.split('&')) {
    const equals = argument.indexOf('=');
    const name = decoded(equals < 0 ? argument : argument.slice(0, equals));
    if (name === '') continue;
    // `?a` is `?a=`.
    const value = equals < 0 ? '' : decoded(argument.slice(equals + 1));
    const values = queries.get(name);
    if (values === undefined) queries.set(name, [value]);
    else values.push(value);
  }
  return queries;
}

/** Escapes and `+` undone; an escape that is none stays as it is, bytes that are no UTF-8 become U+FFFD. */
function decoded(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  let plain = '';
  let from = 0;
  for (let at = spaced.indexOf('%'); at >= 0; at = spaced.indexOf('%', at + 1)) {
    const byte = byteAt(spaced, at);
    if (byte < 0) continue;
    // A letter of several bytes; rare, and dearer.
    if (byte > 0x7f) return decodedBytes(spaced);
    plain += spaced.slice(from, at) + String.fromCharCode(byte);
    at += 2;
    from = at + 1;
  }
  return plain + spaced.slice(from);
}

function decodedBytes(text: string): string {
  const bytes = utf8(text);
  let length = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    const high = byte === 0x25 ? hexDigit(bytes[at + 1]) : -1;
    const low = high < 0 ? -1 : hexDigit(bytes[at + 2]);
    if (low < 0) bytes[length] = byte;
    else {
      bytes[length] = high * 16 + low;
      at += 2;
    }
    length += 1;
  }
  return fromUtf8(bytes.subarray(0, length));
}

/** What the escape at `at` stands for; -1 when it is none. */
function byteAt(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at + 1));
  const low = hexDigit(text.charCodeAt(at + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
