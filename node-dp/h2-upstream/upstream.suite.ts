/** HTTP/2 upstreams for tests: Node's own, and one that writes whatever frames it is told to. */
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { HeaderList } from '#shared/http/headers.ts';
import type { Abort, UpstreamRequest } from '#shared/platform/platform.ts';
import { type Frame, FRAME, frame, NOTHING } from '../h2/client.suite.ts';

export interface TestUpstream {
  readonly port: number;
  readonly sessions: ServerHttp2Session[];
  readonly requests: { readonly stream: ServerHttp2Stream; readonly raw: readonly string[] }[];
  close(): void;
}

type Answer = (stream: ServerHttp2Stream, path: string) => void;

export async function startH2Upstream(
  answer: Answer,
  options: { settings?: Settings; tls?: { cert: string; key: string } } = {},
): Promise<TestUpstream> {
  const { settings = {}, tls } = options;
  const server: Http2Server =
    tls === undefined
      ? createServer({ settings })
      : // It has all that the other has, and TLS.
        (createSecureServer({ settings, ...tls }) as unknown as Http2Server);
  const sessions: ServerHttp2Session[] = [];
  const requests: TestUpstream['requests'] = [];
  server.on('session', (session: ServerHttp2Session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream: ServerHttp2Stream, headers, _flags, raw?: string[]) => {
    stream.on('error', () => {});
    requests.push({ stream, raw: raw ?? [] });
    answer(stream, headers[':path'] ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as { port: number };
  return {
    port,
    sessions,
    requests,
    close: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

/** Hears frames, and answers them as it is told. */
export async function startRawUpstream(
  hear: (one: Frame, socket: Socket) => void,
  greets = true,
): Promise<{ port: number; sockets: Socket[]; close(): void }> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    if (greets) socket.write(frame(FRAME.settings, 0, 0, NOTHING));
    let bytes: Buffer = Buffer.alloc(0);
    let isGreeted = false;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!isGreeted && bytes.length >= 24) {
        bytes = bytes.subarray(24);
        isGreeted = true;
      }
      if (!isGreeted) return;
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const end = 9 + bytes.readUIntBE(0, 3);
        const one = {
          type: bytes.readUInt8(3),
          flags: bytes.readUInt8(4),
          stream: bytes.readUInt32BE(5),
          payload: Buffer.from(bytes.subarray(9, end)),
        };
        bytes = bytes.subarray(end);
        hear(one, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    sockets,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

export class TestAbort implements Abort {
  aborted = false;
  readonly #listeners = new Set<() => void>();

  onAbort(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  fire(): void {
    this.aborted = true;
    for (const fn of this.#listeners) fn();
  }
}

export function requestTo(port: number, changes: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    scheme: 'http',
    host: 'upstream.test',
    address: '127.0.0.1',
    port,
    httpVersion: '2',
    upgrade: null,
    method: 'GET',
    target: '/',
    headers: new HeaderList(['Host', 'upstream.test']),
    body: null,
    connectTimeoutMs: 2000,
    writeTimeoutMs: 2000,
    readTimeoutMs: 2000,
    tls: null,
    abort: new TestAbort(),
    ...changes,
  };
}
