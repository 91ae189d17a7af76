/**
 * The first message of a TLS client, read as far as it tells which server is meant. Strict: what does
 * not parse to its last byte is no ClientHello, and nobody is connected for it.
 *
 * Source: RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3
 */

import type { Verdict } from '../peek.ts';

/** Handshake bytes of a ClientHello; with a post-quantum key share it takes some 2 KiB. */
export const CLIENT_HELLO_BYTES_MAX = 16 * 1024;
/**
 * Records that it may come in. Some clients cut it up against whoever looks at names; thousands, each
 * of a byte and in a packet of its own, would have us read all of them again for every packet.
 */
export const RECORDS_MAX = 256;
/** The same on the wire, record headers included. */
const WIRE_BYTES_MAX = CLIENT_HELLO_BYTES_MAX + 5 * RECORDS_MAX;

export type ClientHello =
  /** Not all there yet. */
  | { readonly tag: 'more' }
  | { readonly tag: 'bad'; readonly reason: string }
  /** `serverName`: lower case; null when it names none. */
  | { readonly tag: 'hello'; readonly serverName: string | null };

/** The same for `peek`; all of it is left for whoever speaks TLS. */
export function judgeClientHello(bytes: Buffer): Verdict<{ readonly serverName: string | null }> {
  const hello = readClientHello(bytes);
  switch (hello.tag) {
    case 'more':
      return { tag: 'more' };
    case 'bad':
      return { tag: 'refused' };
    case 'hello':
      return { tag: 'known', value: hello, taken: 0 };
  }
}

const MORE: ClientHello = { tag: 'more' };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const RECORD_BYTES_MAX = 16 * 1024;
const SERVER_NAME = 0;
const HOST_NAME = 0;

/** @param bytes  all that has come so far */
export function readClientHello(bytes: Buffer): ClientHello {
  if (bytes.length > WIRE_BYTES_MAX) return bad('too long');
  const message = joinRecords(bytes);
  if ('tag' in message) return message;
  const { handshake } = message;
  if (handshake.length >= 1 && handshake[0] !== CLIENT_HELLO) return bad('not a ClientHello');
  if (handshake.length < 4) return MORE;
  const length = handshake.readUIntBE(1, 3);
  if (length > CLIENT_HELLO_BYTES_MAX) return bad('too long');
  if (handshake.length < 4 + length) return MORE;
  // Nothing may stand behind it before the server has answered.
  if (handshake.length > 4 + length) return bad('more than a ClientHello');
  return readBody(new Reader(handshake.subarray(4)));
}

/** The content of the handshake records, as far as it has come. */
function joinRecords(bytes: Buffer): { readonly handshake: Buffer } | ClientHello {
  const parts: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] !== HANDSHAKE_RECORD) return bad('not a handshake record');
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return bad('version');
    if (at + 5 > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > RECORD_BYTES_MAX) return bad('record length');
    if (parts.length === RECORDS_MAX) return bad('too many records');
    parts.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  const [only] = parts;
  return { handshake: parts.length === 1 && only !== undefined ? only : Buffer.concat(parts) };
}

function readBody(body: Reader): ClientHello {
  body.skip(2 + 32);
  const sessionId = body.vector(1);
  const cipherSuites = body.vector(2);
  const compressions = body.vector(1);
  if (sessionId.left > 32) return bad('session id');
  if (cipherSuites.left < 2 || cipherSuites.left % 2 !== 0) return bad('cipher suites');
  if (compressions.left < 1) return bad('compression methods');
  // TLS 1.2 and before may come without any.
  const extensions = body.left === 0 && body.isSound ? EMPTY : body.vector(2);
  if (!body.isSound || body.left > 0) return bad('lengths');
  return readExtensions(extensions);
}

function readExtensions(extensions: Reader): ClientHello {
  let serverName: string | null = null;
  let isNamed = false;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (!extensions.isSound) return bad('extensions');
    if (type !== SERVER_NAME) continue;
    if (isNamed) return bad('two server names');
    isNamed = true;
    serverName = readServerName(data);
    if (serverName === null) return bad('server name');
  }
  return { tag: 'hello', serverName };
}

/** Null when it is not a list of exactly one host name. */
function readServerName(data: Reader): string | null {
  const list = data.vector(2);
  const type = list.number(1);
  const name = list.vector(2);
  if (!data.isSound || !list.isSound || data.left > 0 || list.left > 0) return null;
  if (type !== HOST_NAME) return null;
  const text = name.text();
  return HOST.test(text) ? text.toLowerCase() : null;
}

/** As DNS has it, with the underscore that some names there have. */
const HOST = /^(?=.{1,255}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/;

function bad(reason: string): ClientHello {
  return { tag: 'bad', reason };
}

/** Reads on; once something is missing it stays unsound and answers nothing. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  isSound = true;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  skip(count: number): void {
    if (this.left < count) this.#fail();
    else this.#at += count;
  }

  number(size: 1 | 2): number {
    if (this.left < size) {
      this.#fail();
      return 0;
    }
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }

  /** Bytes behind their length, which takes `size` bytes itself. */
  vector(size: 1 | 2): Reader {
    const length = this.number(size);
    if (this.left < length) this.#fail();
    if (!this.isSound) return EMPTY;
    const start = this.#at;
    this.#at += length;
    return new Reader(this.#bytes.subarray(start, start + length));
  }

  text(): string {
    return this.#bytes.toString('latin1', this.#at);
  }

  #fail(): void {
    this.isSound = false;
    this.#at = this.#bytes.length;
  }
}

const EMPTY = new Reader(Buffer.alloc(0));
