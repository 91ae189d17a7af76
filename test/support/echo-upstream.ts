/**
 * An upstream that tells what it was sent, and misbehaves on request.
 *
 * It speaks raw TCP below a minimal HTTP/1.1 reader, because half of what it must do, no HTTP library
 * lets it do. By path:
 *
 * | path | answer |
 * | --- | --- |
 * | `/status/N` | status N, body `status N` |
 * | `/bytes/N` | N bytes with Content-Length, written with backpressure |
 * | `/chunked/N` | N bytes in chunks of 16 KiB, and a trailer `x-sum: N` |
 * | `/slow/MS` | `slow` after MS milliseconds |
 * | `/hang` | reads, and never answers |
 * | `/reset` | reads the head, then resets the connection |
 * | `/reset-mid` | a head that promises 1000 bytes, 10 of them, then a reset |
 * | `/truncated` | the same, ended with a FIN |
 * | `/garbage` | something that is not HTTP |
 * | `/two-lengths` | two different Content-Length fields |
 * | `/gzip-chunked` | `Transfer-Encoding: gzip, chunked` |
 * | `/early` | 413 before the body is read, and the connection stays open |
 * | `/headers` | repeated and odd response fields |
 * | `/sink` | reads the body, answers its length |
 * | anything else | 200, JSON of what came: see `Echo` |
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';

/** Body of an echo. */
export interface Echo {
  readonly method: string;
  readonly target: string;
  /** name, value, name, value … as they stood. */
  readonly headers: string[];
  readonly bodyLength: number;
  /** Latin-1, when at most 64 KiB. */
  readonly body: string | null;
  /** Which connection it came on, counted from 1. */
  readonly connection: number;
}

export interface EchoUpstream {
  readonly host: string;
  readonly port: number;
  /** Requests whose head was read. */
  readonly requestCount: number;
  readonly connectionCount: number;
  close(): Promise<void>;
}

interface Head {
  readonly method: string;
  readonly target: string;
  readonly headers: string[];
}

const ECHO_BODY_MAX = 64 * 1024;
const CHUNK = Buffer.alloc(16 * 1024, 0x61);

export function startEchoUpstream(port = 0): Promise<EchoUpstream> {
  const counts = { requests: 0, connections: 0 };
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    counts.connections += 1;
    const number = counts.connections;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, number, () => (counts.requests += 1)).catch(() => socket.destroy());
  });
  return listen(server, port).then((bound) => ({
    host: '127.0.0.1',
    port: bound,
    get requestCount() {
      return counts.requests;
    },
    get connectionCount() {
      return counts.connections;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  }));
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port, backlog: 1024 }, () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function serve(socket: Socket, connection: number, onRequest: () => void): Promise<void> {
  const reader = new Reader(socket);
  for (;;) {
    const head = await readHead(reader);
    if (head === null) return;
    onRequest();
    if (!(await answer(socket, reader, head, connection))) return;
  }
}

/** False when the connection is over. */
async function answer(
  socket: Socket,
  reader: Reader,
  head: Head,
  connection: number,
): Promise<boolean> {
  const [, word = '', figure = ''] = head.target.split('?', 1)[0]?.split('/') ?? [];
  const quirk = QUIRKS[word];
  if (quirk !== undefined) {
    quirk(socket);
    return false;
  }
  const body = await readBody(reader, head);
  const count = Number(figure);
  const isHead = head.method === 'HEAD';
  switch (word) {
    case 'status':
      respond(socket, count, [], count === 204 || count === 304 ? '' : `status ${count}`, isHead);
      break;
    case 'slow':
      await after(count);
      respond(socket, 200, [], 'slow', isHead);
      break;
    case 'bytes':
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${count}\r\n\r\n`);
      if (!isHead) await writeBytes(socket, count, (chunk) => chunk);
      break;
    case 'chunked':
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n');
      if (!isHead) {
        await writeBytes(socket, count, asChunk);
        socket.write(`0\r\nx-sum: ${count}\r\n\r\n`);
      }
      break;
    case 'sink':
      respond(socket, 200, [], String(body.length), isHead);
      break;
    case 'headers':
      respond(socket, 200, ODD_HEADERS, 'odd', isHead);
      break;
    default:
      respond(
        socket,
        200,
        ['Content-Type: application/json'],
        echoText(head, body, connection),
        isHead,
      );
  }
  return true;
}

const ODD_HEADERS = ['Set-Cookie: a=1', 'Set-Cookie: b=2', 'X-Mixed-Case: Kept', 'X-Empty:'];

const QUIRKS: Readonly<Record<string, (socket: Socket) => void>> = {
  hang: () => {},
  reset: (socket) => socket.resetAndDestroy(),
  'reset-mid': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789', () =>
      // Late enough for the bytes to have been read on the other side.
      setTimeout(() => socket.resetAndDestroy(), 50),
    );
  },
  truncated: (socket) =>
    void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789'),
  garbage: (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n'),
  'two-lengths': (socket) =>
    void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'),
  'gzip-chunked': (socket) =>
    void socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'),
  early: (socket) =>
    void socket.write('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\n\r\nearly'),
};

function echoText(head: Head, body: BodyRead, connection: number): string {
  const echo: Echo = {
    ...head,
    bodyLength: body.length,
    body: body.bytes === null ? null : body.bytes.toString('latin1'),
    connection,
  };
  return JSON.stringify(echo);
}

function respond(
  socket: Socket,
  status: number,
  headers: readonly string[],
  body: string,
  isHead: boolean,
): void {
  const length = status === 204 ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = [`HTTP/1.1 ${status} Text`, ...headers, ...length, '', ''].join('\r\n');
  socket.write(isHead ? head : head + body);
}

async function writeBytes(
  socket: Socket,
  count: number,
  wrap: (chunk: Buffer) => Buffer,
): Promise<void> {
  for (let left = count; left > 0 && !socket.destroyed; left -= CHUNK.length) {
    const piece = wrap(left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left));
    if (!socket.write(piece)) await drained(socket);
  }
}

function asChunk(chunk: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`${chunk.length.toString(16)}\r\n`),
    chunk,
    Buffer.from('\r\n'),
  ]);
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

interface BodyRead {
  readonly length: number;
  /** Null when longer than is kept. */
  readonly bytes: Buffer | null;
}

async function readHead(reader: Reader): Promise<Head | null> {
  const text = await reader.until('\r\n\r\n');
  if (text === null) return null;
  const [first = '', ...lines] = text.split('\r\n');
  const [method = '', target = ''] = first.split(' ');
  const headers = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { method, target, headers };
}

async function readBody(reader: Reader, head: Head): Promise<BodyRead> {
  const kept: Buffer[] = [];
  let length = 0;
  const take = (chunk: Buffer): void => {
    if (length + chunk.length <= ECHO_BODY_MAX) kept.push(chunk);
    length += chunk.length;
  };
  if (field(head, 'transfer-encoding') !== null) {
    for (;;) {
      const size = Number.parseInt((await reader.until('\r\n')) ?? '0', 16);
      if (size === 0) break;
      await reader.take(size, take);
      await reader.until('\r\n');
    }
    await reader.until('\r\n');
  } else {
    await reader.take(Number(field(head, 'content-length') ?? '0'), take);
  }
  return { length, bytes: length <= ECHO_BODY_MAX ? Buffer.concat(kept) : null };
}

function field(head: Head, name: string): string | null {
  for (let i = 0; i < head.headers.length; i += 2) {
    if (head.headers[i]?.toLowerCase() === name) return head.headers[i + 1] ?? null;
  }
  return null;
}

/** Pulls from a socket with backpressure: nothing is read that was not asked for. */
class Reader {
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #isOver = false;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('readable', () => this.#wake?.());
    const over = (): void => {
      this.#isOver = true;
      this.#wake?.();
    };
    socket.on('end', over);
    socket.on('close', over);
  }

  /** Latin-1 text before the mark, which is consumed too; null at the end of the stream. */
  async until(mark: string): Promise<string | null> {
    for (;;) {
      const at = this.#buffer.indexOf(mark);
      if (at >= 0) {
        const text = this.#buffer.toString('latin1', 0, at);
        this.#buffer = this.#buffer.subarray(at + mark.length);
        return text;
      }
      if (!(await this.#more())) return null;
    }
  }

  /** Hands over exactly `count` bytes, in pieces. */
  async take(count: number, to: (chunk: Buffer) => void): Promise<void> {
    let left = count;
    while (left > 0) {
      if (this.#buffer.length === 0 && !(await this.#more())) throw new Error('body cut short');
      const piece = this.#buffer.subarray(0, left);
      this.#buffer = this.#buffer.subarray(piece.length);
      left -= piece.length;
      to(piece);
    }
  }

  async #more(): Promise<boolean> {
    for (;;) {
      // `read` answers a Buffer unless an encoding was set.
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) {
        this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
        return true;
      }
      if (this.#isOver) return false;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
  }
}
