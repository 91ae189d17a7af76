/** A downstream request: `node:http`'s message as the core sees it, and what a proxy must refuse. */
import type { IncomingMessage } from 'node:http';
import type { HeaderList } from '#shared/http/headers.ts';
import type { Body } from '#shared/http/body.ts';
import type { DownstreamTls, GatewayRequest } from '#shared/http/message.ts';
import type { Abort } from '#shared/platform/platform.ts';
import { connectionOf, type ClientConnection } from './client-connection.ts';

export const TARGET_LENGTH_MAX = 8 * 1024;
export const HEADER_COUNT_MAX = 100;

export class NodeRequest implements GatewayRequest, Abort {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: '1.0' | '1.1';
  readonly headers: HeaderList;
  readonly body: Body;
  readonly sendInterim = null;
  readonly upgrade: 'websocket' | null;
  readonly #connection: ClientConnection;
  #isAborted = false;
  #onAbort: (() => void)[] | null = null;

  constructor(
    message: IncomingMessage,
    target: string,
    headers: HeaderList,
    body: Body,
    upgrade: 'websocket' | null = null,
  ) {
    this.upgrade = upgrade;
    this.method = message.method ?? 'GET';
    this.target = target;
    this.httpVersion = message.httpVersion === '1.0' ? '1.0' : '1.1';
    this.headers = headers;
    this.body = body;
    this.#connection = connectionOf(message.socket);
  }

  get scheme(): 'http' | 'https' {
    return this.#connection.scheme;
  }

  get peerAddress(): string {
    return this.#connection.peerAddress;
  }

  get peerPort(): number {
    return this.#connection.peerPort;
  }

  get localAddress(): string {
    return this.#connection.localAddress;
  }

  get localPort(): number {
    return this.#connection.localPort;
  }

  get tls(): DownstreamTls | null {
    return this.#connection.tls;
  }

  /** The request is its own signal: one object less per request. */
  get abort(): Abort {
    return this;
  }

  get aborted(): boolean {
    return this.#isAborted;
  }

  onAbort(fn: () => void): () => void {
    if (this.#isAborted) {
      fn();
      return noop;
    }
    this.#onAbort ??= [];
    const listeners = this.#onAbort;
    listeners.push(fn);
    return () => {
      const index = listeners.indexOf(fn);
      if (index >= 0) listeners.splice(index, 1);
    };
  }

  /** The client has gone. */
  fireAbort(): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    const listeners = this.#onAbort;
    this.#onAbort = null;
    if (listeners !== null) for (const fn of listeners.slice()) fn();
  }
}

function noop(): void {}

/** Why a request is not let in. */
export interface Refusal {
  readonly status: 400 | 408 | 414 | 417 | 500 | 501 | 505;
  readonly reason: string;
}

/** Fields that mean nothing sensible twice; the first wins silently in Node, elsewhere the last. */
const SINGLETONS: ReadonlySet<string> = new Set([
  'authorization',
  'content-length',
  'content-range',
  'content-type',
  'expect',
  'host',
  'max-forwards',
  'proxy-authorization',
  'range',
  'transfer-encoding',
]);

const BAD_FRAMING = { status: 501, reason: 'transfer-encoding other than chunked' } as const;
const BAD_EXPECT = { status: 417, reason: 'expectation other than 100-continue' } as const;

/**
 * What Node's parser accepts and another implementation in the chain may read differently. Null when
 * the head is in order.
 */
export function refusalOf(message: IncomingMessage, headers: HeaderList): Refusal | null {
  const version = message.httpVersion;
  if (version !== '1.1' && version !== '1.0') return bad('http version', 505);
  if ((message.url ?? '').length > TARGET_LENGTH_MAX) return bad('target too long', 414);
  if (headers.size > HEADER_COUNT_MAX) return bad('too many header fields');
  const seen = duplicateSingleton(headers);
  if (seen !== null) return bad(`duplicate ${seen}`);
  const host = headers.get('host');
  if (host === null ? version === '1.1' : !isHost(host)) return bad('no host');
  if (!isLength(headers.get('content-length'))) return bad('content-length');
  const coding = headers.get('transfer-encoding');
  if (coding !== null) {
    if (coding.trim().toLowerCase() !== 'chunked') return BAD_FRAMING;
    if (version === '1.0') return bad('transfer-encoding in HTTP/1.0');
  }
  const expect = headers.get('expect');
  if (expect !== null && expect.toLowerCase() !== '100-continue') return BAD_EXPECT;
  return null;
}

function bad(reason: string, status: Refusal['status'] = 400): Refusal {
  return { status, reason };
}

function duplicateSingleton(headers: HeaderList): string | null {
  for (let i = 0; i < headers.size; i += 1) {
    const name = headers.lowerNameAt(i);
    if (!SINGLETONS.has(name)) continue;
    for (let j = i + 1; j < headers.size; j += 1) {
      if (headers.lowerNameAt(j) === name) return name;
    }
  }
  return null;
}

/** RFC 3986 section 3.2.2, without userinfo; empty for a target without authority. */
function isHost(host: string): boolean {
  return /^[\w.\-~!$&'()*+,;=:%[\]]*$/.test(host);
}

/** Beyond this many digits a number would not be what stands there. */
function isLength(length: string | null): boolean {
  return length === null || length.length <= LENGTH_DIGITS_MAX;
}

const LENGTH_DIGITS_MAX = 15;

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i;

/**
 * The request target in origin form. An absolute-form target carries the authority to go by, whatever
 * `Host` says (RFC 9112 3.2.2), so `Host` is replaced by it. Null when it is neither form.
 */
export function originTarget(target: string, headers: HeaderList): string | null {
  if (target.charCodeAt(0) === 0x2f) return target;
  const match = ABSOLUTE.exec(target);
  const authority = match?.[1] ?? '';
  // Userinfo in an authority has no business in HTTP.
  if (match === null || authority === '' || !isHost(authority)) return null;
  headers.set('Host', authority);
  const rest = match[2] ?? '';
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** True when the message announces a body. */
export function announcesBody(headers: HeaderList): boolean {
  if (headers.has('transfer-encoding')) return true;
  const length = headers.get('content-length');
  return length !== null && length !== '0';
}
