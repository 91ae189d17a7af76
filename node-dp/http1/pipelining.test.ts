import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { PIPELINED_MAX } from './client-connection.ts';
import { proxyTo, Started, type RawUpstream } from '../gateway.suite.ts';
import { sendRaw } from '../raw-client.suite.ts';

const started = new Started();
afterEach(() => started.close());

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
}

/** Answers every request but those for `/hang`. */
function answer(socket: Socket, text: string): void {
  if (!text.startsWith('GET /hang')) socket.write(OK);
}

async function start(): Promise<{ port: number; upstream: RawUpstream }> {
  const upstream = await started.upstream(answer);
  const { port } = await started.gateway(proxyTo(upstream.port).tables());
  return { port, upstream };
}

function statuses(text: string): string {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status).join(' ');
}

describe('what follows a request on its connection', () => {
  it('begins when that request is over', async () => {
    const { port, upstream } = await start();

    const hanging = sendRaw(port, get('/hang') + get('/next').repeat(3));
    await eventually('the first request', () => upstream.text.includes('/hang'));
    await sendRaw(port, get('/other'));

    expect(upstream.text).not.toContain('/next');
    upstream.connections[0]?.write(OK);
    expect(statuses((await hanging).text)).toBe('200 200 200 200');
  });

  it(`ends the connection when there is more of it than ${PIPELINED_MAX} requests`, async () => {
    const { port, upstream } = await start();

    const answered = await sendRaw(port, get('/hang'), get('/next').repeat(PIPELINED_MAX + 1));

    expect([answered.text, answered.closed]).toEqual(['', true]);
    expect(upstream.text).not.toContain('/next');
  });

  it('is not taken for requests when one was refused, not even a slow one’s successor', async () => {
    const { port, upstream } = await start();
    await sendRaw(port, get('/warm'));

    const refused = get('/refused', 'Expect: tea\r\n');
    const hanging = sendRaw(port, get('/hang') + refused + get('/smuggled'));
    await eventually('the first request', () => upstream.text.includes('/hang'));
    upstream.connections[0]?.write(OK);

    expect(statuses((await hanging).text)).toBe('200 417');
    await sendRaw(port, get('/later'));
    expect(upstream.text).not.toMatch(/refused|smuggled/);
  });

  it.each([
    ['no request', 'GARBAGE\r\n\r\n'],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['more of it after Connection: close', get('/ignored')],
  ])('does not cost it its answer when it is %s', async (_name, follows) => {
    const { port } = await start();
    const more = follows.startsWith('GET /ign') ? 'Connection: close\r\n' : '';

    const { text, closed } = await sendRaw(port, get('/first', more) + follows);

    expect([statuses(text), closed]).toEqual(['200', true]);
  });
});

describe('a client', () => {
  it('that takes nothing of a response for long is given up', async () => {
    const upstream = await started.upstream((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n');
      socket.write(Buffer.alloc(50_000_000));
    });
    const tables = proxyTo(upstream.port).tables();
    const { port, listener } = await started.gateway(tables, { sendIdleMs: 300 });
    const socket = connect({ host: '127.0.0.1', port });
    socket.pause();
    socket.on('error', () => {});
    socket.write(get('/'));

    await eventually('a request in flight', () => listener.inFlight === 1);
    await eventually('nothing in flight', () => listener.inFlight === 0, 5000);
    socket.destroy();
  });

  it('that takes nothing of the end of a response is given up as well', async () => {
    const end = Buffer.alloc(8_000_000);
    const { port, listener } = await started.gateway(proxyTo(1).tables(), {
      sendIdleMs: 300,
      handle: ({ headers }) => ({
        status: 200,
        headers,
        body: end,
        tunnel: null,
        filters: [],
        onFinish() {},
      }),
    });
    const socket = connect({ host: '127.0.0.1', port });
    socket.pause();
    socket.on('error', () => {});
    socket.write(get('/'));

    await eventually('a request in flight', () => listener.inFlight === 1);
    await eventually('nothing in flight', () => listener.inFlight === 0, 5000);
    socket.destroy();
  });

  it('that waits for a slow upstream is not', async () => {
    const upstream = await started.upstream(
      (socket) => void setTimeout(() => socket.write(OK), 700),
    );
    const tables = proxyTo(upstream.port).tables();
    const { port } = await started.gateway(tables, { sendIdleMs: 200 });

    expect((await sendRaw(port, get('/'))).status).toBe(200);
  });
});
