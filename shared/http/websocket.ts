/** The opening handshake of a WebSocket (RFC 6455 section 4): what is let through, and what comes back. */
import type { HeaderList } from './headers.ts';

/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const VERSION = /^\d{1,3}$/;

/** What `Sec-WebSocket-Accept` is made of, beside the key. */
export const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Fields of a 101 that the two ends have agreed on: no plugin may change them. */
const AGREED = ['Sec-WebSocket-Accept', 'Sec-WebSocket-Protocol', 'Sec-WebSocket-Extensions'];

/**
 * Whether a request is a whole and single-minded handshake. Anything else that asks to switch
 * protocols is an ordinary request, whose `Upgrade` goes no further (RFC 9110 section 7.8).
 */
export function isHandshake(method: string, httpVersion: string, headers: HeaderList): boolean {
  if (method !== 'GET' || httpVersion !== '1.1') return false;
  return (
    only(headers, 'upgrade')?.toLowerCase() === 'websocket' &&
    hasToken(headers, 'connection', 'upgrade') &&
    KEY.test(only(headers, 'sec-websocket-key') ?? '') &&
    VERSION.test(only(headers, 'sec-websocket-version') ?? '') &&
    !headers.has('transfer-encoding') &&
    !headers.has('content-length') &&
    !headers.has('expect')
  );
}

/** Asks the next hop to switch: hop-by-hop fields, so ours and not the client's. In place. */
export function askToSwitch(headers: HeaderList): void {
  headers.set('Connection', 'upgrade');
  headers.set('Upgrade', 'websocket');
}

/**
 * Why a 101 is no answer to the handshake; null when it is one.
 *
 * @param accept  what `Sec-WebSocket-Accept` must say
 * Source: RFC 6455 section 4.1, RFC 9110 section 15.2.2
 */
export function acceptanceProblem(
  request: HeaderList,
  response: HeaderList,
  accept: string,
): string | null {
  if (only(response, 'upgrade')?.toLowerCase() !== 'websocket') return 'upgrade field';
  if (!hasToken(response, 'connection', 'upgrade')) return 'connection field';
  if (only(response, 'sec-websocket-accept') !== accept) return 'sec-websocket-accept';
  const chosen = response.getAll('sec-websocket-protocol');
  if (chosen.length > 1) return 'more than one protocol';
  const [protocol] = chosen;
  if (protocol !== undefined && !tokensOf(request, 'sec-websocket-protocol').includes(protocol)) {
    return 'a protocol that was not offered';
  }
  // A 101 has no content, so nothing may say how long it is.
  if (response.has('content-length') || response.has('transfer-encoding')) return 'framed 101';
  return null;
}

/** Puts back what the two ends agreed on, as it stood in `agreed`. In place. */
export function restoreAgreement(headers: HeaderList, agreed: HeaderList): void {
  for (const name of AGREED) {
    const lower = name.toLowerCase();
    headers.remove(lower);
    for (const value of agreed.getAll(lower)) headers.append(name, value);
  }
  headers.remove('content-length');
  headers.remove('transfer-encoding');
  askToSwitch(headers);
}

/** The value of a field that stands there once; null otherwise. */
function only(headers: HeaderList, name: string): string | null {
  const values = headers.getAll(name);
  return values.length === 1 ? (values[0] ?? '').trim() : null;
}

function hasToken(headers: HeaderList, name: string, token: string): boolean {
  return tokensOf(headers, name).some((found) => found.toLowerCase() === token);
}

function tokensOf(headers: HeaderList, name: string): string[] {
  return headers.getAll(name).flatMap((value) => value.split(',').map((token) => token.trim()));
}
