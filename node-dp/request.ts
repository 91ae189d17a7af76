/** A downstream request as the core sees it, and the rules that hold in every version of HTTP. */
import type { Body } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import type { DownstreamTls, GatewayRequest } from '#shared/http/message.ts';
import type { Abort } from '#shared/platform/platform.ts';
import type { ConnectionFacts } from './connection-facts.ts';

export const TARGET_LENGTH_MAX = 8 * 1024;
export const HEADER_COUNT_MAX = 100;

export type RequestHead = Pick<GatewayRequest, 'method' | 'target' | 'httpVersion' | 'headers'>;

export class NodeRequest implements GatewayRequest, Abort {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: GatewayRequest['httpVersion'];
  readonly headers: HeaderList;
  readonly body: Body;
  readonly sendInterim = null;
  readonly upgrade: 'websocket' | null;
  readonly #facts: ConnectionFacts;
  #isAborted = false;
  #onAbort: (() => void)[] | null = null;

  constructor(
    facts: ConnectionFacts,
    head: RequestHead,
    body: Body,
    upgrade: 'websocket' | null = null,
  ) {
    this.method = head.method;
    this.target = head.target;
    this.httpVersion = head.httpVersion;
    this.headers = head.headers;
    this.body = body;
    this.upgrade = upgrade;
    this.#facts = facts;
  }

  get scheme(): 'http' | 'https' {
    return this.#facts.scheme;
  }

  get peerAddress(): string {
    return this.#facts.peerAddress;
  }

  get peerPort(): number {
    return this.#facts.peerPort;
  }

  get localAddress(): string {
    return this.#facts.localAddress;
  }

  get localPort(): number {
    return this.#facts.localPort;
  }

  get tls(): DownstreamTls | null {
    return this.#facts.tls;
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

/** The first field that stands there twice and must not; null when there is none. */
export function repeatedSingleton(headers: HeaderList): string | null {
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
export function isHost(host: string): boolean {
  return /^[\w.\-~!$&'()*+,;=:%[\]]*$/.test(host);
}

/** Beyond this many digits a number would not be what stands there. */
const LENGTH_DIGITS_MAX = 15;

export function isLength(length: string | null): boolean {
  return length === null || length.length <= LENGTH_DIGITS_MAX;
}
