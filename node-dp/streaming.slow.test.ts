import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEchoUpstream, type EchoUpstream } from '../test/support/echo-upstream.ts';

const GIGABYTE = 1024 ** 3;
const GROWTH_BYTES_MAX = 100 * 1024 * 1024;
const TIME_MS_MAX = 30_000;

describe('a gigabyte through listener and transport', () => {
  let upstream: EchoUpstream;
  let child: ChildProcess;
  let port = 0;

  beforeAll(async () => {
    upstream = await startEchoUpstream();
    child = fork(new URL('../test/support/passthrough.ts', import.meta.url), [
      String(upstream.port),
    ]);
    port = ((await once(child, 'message')) as [{ port: number }])[0].port;
    // Code and pools are in memory before memory is measured.
    await exchange(port, 'GET /bytes/1000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 0);
  });
  afterAll(async () => {
    child.kill();
    await upstream.close();
  });

  async function memory(): Promise<{ rssBytes: number; peakBytes: number }> {
    child.send('memory');
    return ((await once(child, 'message')) as [{ rssBytes: number; peakBytes: number }])[0];
  }

  it('comes down with bounded memory', { timeout: TIME_MS_MAX }, async () => {
    const before = await memory();

    const received = await exchange(
      port,
      `GET /bytes/${GIGABYTE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      0,
    );

    expect(received.bytes).toBeGreaterThan(GIGABYTE);
    expect(growthOf(before, await memory())).toBeLessThan(GROWTH_BYTES_MAX);
  });

  it('goes up with bounded memory', { timeout: TIME_MS_MAX }, async () => {
    const before = await memory();

    const received = await exchange(
      port,
      `POST /sink HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${GIGABYTE}\r\n\r\n`,
      GIGABYTE,
    );

    expect(received.end.endsWith(String(GIGABYTE))).toBe(true);
    expect(growthOf(before, await memory())).toBeLessThan(GROWTH_BYTES_MAX);
  });

  it('stays with the upstream while the client does not read', async () => {
    const before = await memory();
    const socket = connect({ host: '127.0.0.1', port });
    socket.pause();
    socket.write(`GET /bytes/${GIGABYTE} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await once(socket, 'readable');
    // Nothing signals "stalled": the time is what lets an unbounded buffer show itself.
    await new Promise((resolve) => setTimeout(resolve, 1000));

    expect(growthOf(before, await memory())).toBeLessThan(GROWTH_BYTES_MAX);
    socket.destroy();
  });
});

function growthOf(before: { rssBytes: number }, after: { peakBytes: number }): number {
  return after.peakBytes - before.rssBytes;
}

/** Sends a head and so many bytes, reads to the end, keeps the last of it. */
async function exchange(
  port: number,
  head: string,
  uploadBytes: number,
): Promise<{ bytes: number; end: string }> {
  const socket = connect({ host: '127.0.0.1', port });
  let bytes = 0;
  let end = '';
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (chunk.length < 1000) end = (end + chunk.toString('latin1')).slice(-1000);
  });
  const ended = once(socket, 'end');
  socket.write(head);
  await pipeline(filler(uploadBytes), socket, { end: false });
  await ended;
  socket.destroy();
  return { bytes, end };
}

const FILLER = Buffer.alloc(256 * 1024, 0x62);

function* filler(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= FILLER.length) yield FILLER.subarray(0, left);
}
