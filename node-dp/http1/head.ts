/** A request's head: what a proxy must refuse although Node's parser lets it through. */
import type { IncomingMessage } from 'node:http';
import type { HeaderList } from '#shared/http/headers.ts';
import type { Refusal } from '../refusal.ts';
import {
  HEADER_COUNT_MAX,
  isHost,
  isLength,
  type RequestHead,
  repeatedSingleton,
  TARGET_LENGTH_MAX,
} from '../request.ts';

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
  const seen = repeatedSingleton(headers);
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

export function requestHead(
  message: IncomingMessage,
  target: string,
  headers: HeaderList,
): RequestHead {
  const httpVersion = message.httpVersion === '1.0' ? '1.0' : '1.1';
  return { method: message.method ?? 'GET', target, httpVersion, headers };
}
