/** HTTP/2 clients for tests: Node's own, and one that writes whatever frames it is told to. */
import {
  type ClientHttp2Session,
  connect as connectH2,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { eventually } from '../../test/support/eventually.ts';

export interface H2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly text: string;
  readonly trailers: IncomingHttpHeaders | null;
  /** 0: the stream ended well. */
  readonly code: number;
}

export function openH2(url: string): Promise<ClientHttp2Session> {
  const session = connectH2(url, { rejectUnauthorized: false });
  session.on('error', () => {});
  return new Promise((resolve, reject) => {
    session.once('connect', () => resolve(session));
    session.once('close', () => reject(new Error('closed')));
  });
}

/** One request, to its end. `body` in pieces as given. */
export function sendH2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders | readonly string[],
  body: readonly (string | Uint8Array)[] = [],
): Promise<H2Answer> {
  const stream = session.request(headers, { endStream: body.length === 0 });
  const chunks: Buffer[] = [];
  let head: (IncomingHttpHeaders & IncomingHttpStatusHeader) | null = null;
  let trailers: IncomingHttpHeaders | null = null;
  stream.on('response', (received) => (head = received));
  stream.on('trailers', (received) => (trailers = received));
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  for (const piece of body) stream.write(piece);
  if (body.length > 0) stream.end();
  return new Promise((resolve) => {
    stream.once('close', () => {
      const text = Buffer.concat(chunks).toString('latin1');
      const status = head?.[':status'] ?? 0;
      resolve({ status, headers: head ?? {}, text, trailers, code: stream.rstCode ?? 0 });
    });
  });
}

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const END_STREAM = 1;
export const END_HEADERS = 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export const NOTHING = Buffer.alloc(0);

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

/** Literal fields without indexing or Huffman (RFC 7541 section 6.2.2). */
export function fields(...pairs: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of pairs) {
    parts.push(Buffer.from([0]), literal(name), literal(value));
  }
  return Buffer.concat(parts);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** RFC 7541 section 5.1, with nothing in the bits before the prefix. */
function integer(value: number, prefixBits: number): Buffer {
  const limit = 2 ** prefixBits - 1;
  if (value < limit) return Buffer.from([value]);
  const bytes = [limit];
  let rest = value - limit;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

export function get(path = '/', more: readonly (readonly [string, string])[] = []): Buffer {
  return fields(
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'a'],
    ...more,
  );
}

export function post(path = '/', more: readonly (readonly [string, string])[] = []): Buffer {
  return fields(
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'a'],
    ...more,
  );
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** A connection on which every frame is the test's own. It answers nothing by itself. */
export class RawH2 {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  isClosed = false;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(port: number, begins = true) {
    this.socket = connect({ host: '127.0.0.1', port });
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.isClosed = true));
    this.socket.on('data', (chunk: Buffer) => this.#read(chunk));
    if (begins) this.write(PREFACE, frame(FRAME.settings, 0, 0, NOTHING));
  }

  /** False: the other side is not reading. */
  write(...frames: readonly Buffer[]): boolean {
    if (this.socket.destroyed || !this.socket.writable) return false;
    return this.socket.write(Buffer.concat(frames));
  }

  /** Writes over and over until the connection is closed; never holds more than a little. */
  async flood(bytes: Buffer, timesMax: number): Promise<number> {
    let times = 0;
    for (; times < timesMax && !this.isClosed && !this.hasGoaway; times += 1) {
      if (this.write(bytes)) {
        if (times % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      if (this.isClosed || !this.socket.writable) break;
      await this.#drained();
    }
    return times;
  }

  get hasGoaway(): boolean {
    return this.goawayCode !== null;
  }

  get goawayCode(): number | null {
    const goaway = this.frames.find(({ type }) => type === FRAME.goaway);
    return goaway === undefined ? null : goaway.payload.readUInt32BE(4);
  }

  resetCode(stream: number): number | null {
    const reset = this.frames.find((one) => one.type === FRAME.reset && one.stream === stream);
    return reset === undefined ? null : reset.payload.readUInt32BE(0);
  }

  async closed(): Promise<void> {
    await eventually('the connection to be closed', () => this.isClosed);
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.socket.off('drain', done);
        this.socket.off('close', done);
        resolve();
      };
      this.socket.on('drain', done);
      this.socket.on('close', done);
    });
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 9) {
      const length = this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < 9 + length) return;
      this.frames.push({
        type: this.#bytes.readUInt8(3),
        flags: this.#bytes.readUInt8(4),
        stream: this.#bytes.readUInt32BE(5),
        payload: Buffer.from(this.#bytes.subarray(9, 9 + length)),
      });
      this.#bytes = this.#bytes.subarray(9 + length);
    }
  }
}
