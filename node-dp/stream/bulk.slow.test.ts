/** A hundred megabytes each way, at the receivers' pace: what is held between them stays small. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, it } from 'vitest';
import { makeCertificate } from '../../test/support/certificates.ts';
import { TestConfig } from '../../test/support/builders.ts';
import { eventually } from '../../test/support/eventually.ts';
import { StartedStreams, streamRoute } from './streams.suite.ts';

const started = new StartedStreams();
afterEach(() => started.close());

const TOTAL_BYTES = 100 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Of all four sockets and what lies between them, on a busy machine too; a copy of the whole would be more. */
const HELD_BYTES_MAX = 64 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** Of buffers that somebody still holds. */
function liveBytes(): number {
  if (typeof collect === 'function') collect();
  return process.memoryUsage().arrayBuffers;
}

/** Sends and hashes; keeps to the pace of the other side. */
function send(socket: Socket, fill: number): string {
  const chunk = Buffer.alloc(CHUNK_BYTES, fill);
  const hash = createHash('sha256');
  let left = TOTAL_BYTES;
  for (let i = 0; i < TOTAL_BYTES; i += CHUNK_BYTES) hash.update(chunk);
  const pump = (): void => {
    while (left > 0) {
      left -= chunk.length;
      const isLast = left <= 0;
      if (isLast) socket.end(chunk);
      else if (!socket.write(chunk)) return;
    }
  };
  socket.on('drain', pump);
  pump();
  return hash.digest('hex');
}

function receive(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  let count = 0;
  return new Promise((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      // Now and then it takes a while.
      count += 1;
      if (count % 50 === 0) {
        socket.pause();
        setImmediate(() => socket.resume());
      }
    });
    socket.once('end', () => resolve(hash.digest('hex')));
  });
}

async function exchange(dial: (port: number) => Socket, tls: boolean): Promise<void> {
  let peak = 0;
  const base = liveBytes();
  const watch = setInterval(() => {
    peak = Math.max(peak, liveBytes() - base);
  }, 50);
  started.later(() => clearInterval(watch));
  let atUpstream: Promise<string> | null = null;
  let sentByUpstream = '';
  const upstream = await started.tcpUpstream((socket) => {
    atUpstream = receive(socket);
    sentByUpstream = send(socket, 2);
  });
  const config = new TestConfig();
  const route = tls ? { protocols: ['tls'], snis: ['a.test'], sources: null } : {};
  streamRoute(config, upstream, route);
  const { port, log } = await started.streams(
    config.tables(),
    tls ? { tls: makeCertificate() } : {},
  );
  const client = dial(port);
  started.later(() => void client.destroy());
  const atClient = receive(client);
  const sentByClient = send(client, 1);

  expect(await atClient).toBe(sentByUpstream);
  expect(await atUpstream).toBe(sentByClient);
  await eventually('a line in the log', () => log.length === 1);
  expect(log[0]?.session).toMatchObject({
    received: TOTAL_BYTES,
    sent: TOTAL_BYTES,
    complete: true,
  });
  expect(peak).toBeGreaterThan(0);
  expect(peak).toBeLessThan(HELD_BYTES_MAX);
}

it('goes through over TCP', async () => {
  await exchange((port) => started.client(port).socket.removeAllListeners('data'), false);
});

it('goes through over TLS', async () => {
  await exchange((port) => {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      servername: 'a.test',
      rejectUnauthorized: false,
    });
    socket.allowHalfOpen = true;
    socket.on('error', () => {});
    return socket;
  }, true);
});
