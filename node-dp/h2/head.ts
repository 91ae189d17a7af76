/**
 * The head of an HTTP/2 request, as the core wants it. nghttp2 has checked before what RFC 9113
 * section 8 says of pseudo-header fields, connection-specific fields and characters, and has reset
 * the stream where that was broken.
 */
import { METHODS } from 'node:http';
import { HeaderList } from '#shared/http/headers.ts';
import type { Refusal } from '../refusal.ts';
import {
  HEADER_COUNT_MAX,
  isHost,
  isLength,
  repeatedSingleton,
  type RequestHead,
  TARGET_LENGTH_MAX,
} from '../request.ts';

export type HeadResult =
  | { readonly head: RequestHead; readonly refusal: null }
  | { readonly head: null; readonly refusal: Refusal; readonly headers: HeaderList };

/** The same methods as over HTTP/1.1, where Node's parser knows them. */
const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);

interface Pseudo {
  method: string;
  path: string;
  authority: string | null;
}

/** @param raw  names and values in turn, as they came */
export function readHead(raw: readonly string[]): HeadResult {
  const pseudo: Pseudo = { method: '', path: '', authority: null };
  const headers = fieldsOf(raw, pseudo);
  const refusal = refusalOf(pseudo, headers);
  if (refusal !== null) return { head: null, refusal, headers };
  const { method, path, authority } = pseudo;
  if (authority !== null && !headers.has('host')) headers.append('host', authority);
  return { head: { method, target: path, httpVersion: '2', headers }, refusal: null };
}

/** The fields proper. Crumbs of cookies are joined (RFC 9113 section 8.2.3). */
function fieldsOf(raw: readonly string[], pseudo: Pseudo): HeaderList {
  const flat: string[] = [];
  const names: string[] = [];
  let cookieAt = -1;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (name.charCodeAt(0) === COLON) readPseudo(name, value, pseudo);
    else if (name === 'cookie' && cookieAt >= 0) flat[cookieAt] += `; ${value}`;
    else {
      flat.push(name, value);
      names.push(name);
      if (name === 'cookie') cookieAt = flat.length - 1;
    }
  }
  return new HeaderList(flat, names);
}

const COLON = 0x3a;

function readPseudo(name: string, value: string, pseudo: Pseudo): void {
  if (name === ':method') pseudo.method = value;
  else if (name === ':path') pseudo.path = value;
  else if (name === ':authority') pseudo.authority = value;
}

function refusalOf({ method, path, authority }: Pseudo, headers: HeaderList): Refusal | null {
  if (method === 'CONNECT') return { status: 405, reason: 'CONNECT' };
  if (!KNOWN_METHODS.has(method)) return bad('method');
  if (path.charCodeAt(0) !== SLASH) return bad('target form');
  if (path.length > TARGET_LENGTH_MAX) return { status: 414, reason: 'target too long' };
  if (headers.size > HEADER_COUNT_MAX) return bad('too many header fields');
  const repeated = repeatedSingleton(headers);
  if (repeated !== null) return bad(`duplicate ${repeated}`);
  const host = headers.get('host');
  // RFC 9113 section 8.3.1: one that names another than the authority is malformed.
  if (host !== null && authority !== null && host !== authority) return bad('host');
  if (!isHost(authority ?? host ?? ' ')) return bad('no host');
  if (!isLength(headers.get('content-length'))) return bad('content-length');
  const expect = headers.get('expect');
  if (expect !== null && expect.toLowerCase() !== '100-continue') {
    return { status: 417, reason: 'expectation other than 100-continue' };
  }
  return null;
}

const SLASH = 0x2f;

function bad(reason: string): Refusal {
  return { status: 400, reason };
}
