/** A Worker's `Request` as the core sees it. */
import type { Body } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest } from '#shared/http/message.ts';
import { isHandshake } from '#shared/http/websocket.ts';
import type { Abort } from '#shared/platform/platform.ts';
import { clientCertificateOf } from './client-certificate.ts';
import { contentLength, WebBody } from './web-body.ts';

const DEFAULT_PORT = { http: 80, https: 443 } as const;

/** Who is there when the platform does not say: only development has no CF-Connecting-IP. */
const LOOPBACK = '127.0.0.1';

export function fromRequest(request: Request): GatewayRequest {
  const scheme = request.url.startsWith('https:') ? 'https' : 'http';
  const authorityStart = scheme.length + '://'.length;
  const targetStart = request.url.indexOf('/', authorityStart);
  const authority = request.url.slice(authorityStart, targetStart);
  const headers = headersOf(request.headers);
  const cf = request.cf;
  const httpVersion = versionOf(cf?.httpProtocol);
  return {
    method: request.method,
    target: request.url.slice(targetStart),
    httpVersion,
    scheme,
    headers,
    body: bodyOf(request, headers),
    peerAddress: peerOf(cf !== undefined, headers),
    peerPort: 0,
    localAddress: '',
    localPort: portOf(authority) ?? DEFAULT_PORT[scheme],
    tls:
      scheme === 'https'
        ? {
            serverName: hostOf(authority),
            version: textOf(cf?.tlsVersion) ?? 'TLSv1.3',
            clientCertificate: clientCertificateOf(cf?.tlsClientAuth),
          }
        : null,
    abort: new SignalAbort(request.signal),
    sendInterim: null,
    upgrade: isHandshake(request.method, httpVersion, headers) ? 'websocket' : null,
  };
}

/** The list in the runtime's order: lower-case names, repeated fields already joined. */
export function headersOf(headers: Headers): HeaderList {
  const raw: string[] = [];
  for (const [name, value] of headers) raw.push(name, value);
  return new HeaderList(raw);
}

/**
 * Cloudflare sets CF-Connecting-IP itself, and `cf` on every request. Where there is no `cf` (workerd
 * on its own), the field is whatever the client wrote.
 */
function peerOf(isCloudflare: boolean, headers: HeaderList): string {
  return unmapped((isCloudflare ? headers.get('cf-connecting-ip') : null) ?? LOOPBACK);
}

function bodyOf(request: Request, headers: HeaderList): Body {
  return request.body === null ? null : new WebBody(request.body, contentLength(headers), request);
}

function versionOf(protocol: unknown): GatewayRequest['httpVersion'] {
  if (protocol === 'HTTP/1.0') return '1.0';
  // HTTP/3 has HTTP/2's semantics, and the core knows no newer name.
  return protocol === 'HTTP/2' || protocol === 'HTTP/3' ? '2' : '1.1';
}

function portOf(authority: string): number | null {
  const match = /:(\d{1,5})$/.exec(authority);
  return match === null ? null : Number(match[1]);
}

function hostOf(authority: string): string {
  return authority.replace(/:\d{1,5}$/, '');
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function unmapped(address: string): string {
  return address.toLowerCase().startsWith('::ffff:') && address.includes('.')
    ? address.slice('::ffff:'.length)
    : address;
}

class SignalAbort implements Abort {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get aborted(): boolean {
    return this.#signal.aborted;
  }

  onAbort(fn: () => void): () => void {
    if (this.#signal.aborted) {
      fn();
      return () => undefined;
    }
    this.#signal.addEventListener('abort', fn, { once: true });
    return () => this.#signal.removeEventListener('abort', fn);
  }
}
