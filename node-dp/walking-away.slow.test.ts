import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { eventually } from '../test/support/eventually.ts';
import { proxyTo, Started } from './gateway.suite.ts';
import { sendRaw } from './raw-client.suite.ts';

const started = new Started();
afterEach(() => started.close());

const TIMES = 200;
const CHUNK = Buffer.from(`40000\r\n${'x'.repeat(0x40000)}\r\n`);

/** `/down` never ends, `/ok` is answered, all else is only read. */
function answer(socket: Socket, text: string): void {
  if (text.startsWith('GET /ok')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  if (!text.startsWith('GET /down')) return;
  const pump = (): void => {
    while (!socket.destroyed && socket.write(CHUNK));
    socket.once('drain', pump);
  };
  socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
  pump();
}

const POST = 'POST /up HTTP/1.1\r\nHost: a\r\n';

it.each<[string, string, (socket: Socket) => Promise<unknown>]>([
  ['in an upload', `${POST}Content-Length: 100000000\r\n\r\n`, (socket) => sendSome(socket)],
  ['in a chunked upload', `${POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhel`, () => pause(1)],
  ['in a short upload', `${POST}Content-Length: 100\r\n\r\nabc`, () => pause(1)],
  ['in a download', 'GET /down HTTP/1.1\r\nHost: a\r\n\r\n', (socket) => once(socket, 'data')],
  ['before the answer', 'GET /hang HTTP/1.1\r\nHost: a\r\n\r\n', () => pause(1)],
])(
  `clients that go away ${TIMES} times %s leave nothing behind`,
  async (_name, head, meanwhile) => {
    const upstream = await started.upstream(answer);
    const tables = proxyTo(upstream.port, { retries: 5 }).tables();
    const { port, listener } = await started.gateway(tables);

    for (let count = 0; count < TIMES; count += 1) {
      const socket = connect({ host: '127.0.0.1', port });
      socket.on('error', () => {});
      socket.write(head);
      // One client after the other.
      await meanwhile(socket);
      if (count % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
    }

    await eventually('no request in flight', () => listener.inFlight === 0);
    await eventually('no upstream connection', () =>
      upstream.connections.every((socket) => socket.destroyed),
    );
    expect((await sendRaw(port, 'GET /ok HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(200);
  },
);

function sendSome(socket: Socket): Promise<unknown> {
  socket.write(Buffer.alloc(256 * 1024));
  return pause(1);
}
