/** An upstream that reports what reached it, and misbehaves on request. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface EchoReport {
  /** Which upstream answered. */
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly length: number; readonly sha256: string };
}

export interface Echo {
  /** `127.0.0.1:port`. */
  readonly address: string;
  close(): Promise<void>;
}

const DRIP_MS = 100;

export async function startEcho(name: string): Promise<Echo> {
  const server = createServer((request, response) => void answer(name, request, response));
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, close: () => closed(server) };
}

/** A port where nobody listens, for the time of a test. */
export async function closedAddress(): Promise<string> {
  const echo = await startEcho('closed');
  await echo.close();
  return echo.address;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function answer(name: string, request: IncomingMessage, response: ServerResponse) {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  response.setHeader('x-upstream-name', name);
  const bytes = /^\/bytes\/(\d+)$/.exec(path);
  const status = /^\/status\/(\d+)$/.exec(path);
  if (path === '/hang') return;
  if (path === '/drip') return drip(response);
  if (path === '/truncated') return truncate(response);
  if (bytes) return flood(response, Number(bytes[1]));
  if (status) {
    response.statusCode = Number(status[1]);
    if (status[1] === '302') response.setHeader('location', '/elsewhere');
    response.end();
    return;
  }
  if (path === '/cookies') response.setHeader('set-cookie', ['a=1; Path=/', 'b=2; Path=/']);
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of request) {
    hash.update(chunk as Buffer);
    length += (chunk as Buffer).length;
  }
  const headers: Record<string, string> = {};
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const key = (request.rawHeaders[i] ?? '').toLowerCase();
    const value = request.rawHeaders[i + 1] ?? '';
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
  }
  const report: EchoReport = {
    name,
    method: request.method ?? '',
    url: request.url ?? '',
    headers,
    body: { length, sha256: hash.digest('hex') },
  };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(report));
}

async function drip(response: ServerResponse): Promise<void> {
  response.setHeader('content-type', 'text/event-stream');
  for (const line of ['first\n', 'second\n', 'third\n']) {
    response.write(line);
    await pause(DRIP_MS);
  }
  response.end();
}

/** Promises more than it sends. */
function truncate(response: ServerResponse): void {
  response.setHeader('content-length', '1000');
  response.write('x'.repeat(10), () => response.destroy());
}

async function flood(response: ServerResponse, length: number): Promise<void> {
  response.setHeader('content-length', String(length));
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let left = length;
  while (left > 0 && !response.destroyed) {
    const part = left >= chunk.length ? chunk : chunk.subarray(0, left);
    left -= part.length;
    if (!response.write(part)) {
      await drained(response);
    }
  }
  response.end();
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
