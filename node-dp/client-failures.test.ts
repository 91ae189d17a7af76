/** What a client does to its own request says nothing of the target that had it. */
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { TestConfig } from '../test/support/builders.ts';
import { eventually } from '../test/support/eventually.ts';
import { Started } from './gateway.suite.ts';
import { END_HEADERS, FRAME, frame, post, RawH2, uint32 } from './h2/client.suite.ts';

const started = new Started();
afterEach(() => started.close());

/** More than is held before the target is asked. */
const LENGTH = 64 * 1024 * 1024;
const HEAD = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${LENGTH}\r\n\r\nsome`;
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n';

/** A target that waits for the end of a body, behind checks that forgive nothing. */
async function start(bodyIdleMs: number) {
  let text = '';
  const upstream = await started.upstream((_socket, part) => (text += part));
  const config = new TestConfig();
  const unhealthy = { tcp_failures: 1, timeouts: 1, http_failures: 1 };
  const pool = config.add('upstreams', {
    name: 'pool.test',
    healthchecks: { passive: { unhealthy } },
  });
  config.add('targets', { target: `127.0.0.1:${upstream.port}`, upstream: { id: pool.id } });
  const { id } = config.service({ host: 'pool.test', retries: 0 });
  config.route({ paths: ['/'], service: { id }, request_buffering: false });
  const tables = config.tables();
  const states: string[] = [];
  const listen = { host: '127.0.0.1', port: 0, tls: false, http2: true };
  const gateway = await started.gateway(tables, { bodyIdleMs, listen }, ({ tries }) =>
    states.push(...tries.map(({ state }) => state)),
  );
  return {
    port: gateway.port,
    states,
    listener: gateway.listener,
    asked: () => text.includes('some'),
    health: () => tables.parts.env.health.find(config.ws, 'pool.test')?.current?.isHealthy(0),
  };
}

function client(port: number, text: string): Socket {
  const socket = connect(port, '127.0.0.1', () => socket.write(text));
  socket.on('error', () => {});
  return socket;
}

describe('a target is not held to blame for a client that', () => {
  it.each<[string, string, (socket: Socket) => void]>([
    ['resets its connection in a body', HEAD, (socket) => socket.resetAndDestroy()],
    ['ends its connection in a body', HEAD, (socket) => socket.end()],
    ['closes its connection in chunks', CHUNKED, (socket) => socket.destroy()],
  ])('%s', async (_name, head, leave) => {
    const { port, asked, states, health } = await start(30_000);
    const socket = client(port, head);
    await eventually('the request', asked);
    leave(socket);
    await eventually('the end', () => states.length === 1);
    expect(states).toEqual(['aborted']);
    expect(health()).toBe(true);
    socket.destroy();
  });

  it('sends what is no chunk, and stays', async () => {
    const { port, asked, states, health, listener } = await start(30_000);
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.write(CHUNKED);
    await eventually('the request', asked);
    socket.write('zz\r\n');
    await eventually('the end', () => states.length === 1);
    expect(states).toEqual(['aborted']);
    expect(health()).toBe(true);
    expect([listener.connectionCount, listener.inFlight]).toEqual([0, 0]);
    socket.destroy();
  });

  it.each([
    ['with a length', HEAD],
    ['in chunks', CHUNKED],
  ])('falls silent in a body %s', async (_name, head) => {
    const { port, asked, states, health } = await start(200);
    const socket = client(port, head);
    await eventually('the request', asked);
    await eventually('the end', () => states.length === 1);
    expect(states).toEqual(['aborted']);
    expect(health()).toBe(true);
    socket.destroy();
  });

  it.each<[string, number, (client: RawH2) => void]>([
    ['resets its stream', 30_000, (raw) => raw.write(frame(FRAME.reset, 0, 1, uint32(8)))],
    ['leaves', 30_000, (raw) => raw.socket.destroy()],
    ['falls silent', 200, () => {}],
  ])('%s over HTTP/2', async (_name, bodyIdleMs, leave) => {
    const { port, asked, states, health } = await start(bodyIdleMs);
    const raw = new RawH2(port);
    raw.write(frame(FRAME.headers, END_HEADERS, 1, post()));
    raw.write(frame(FRAME.data, 0, 1, Buffer.from('some')));
    await eventually('the request', asked);
    leave(raw);
    await eventually('the end', () => states.length === 1);
    expect(states).toEqual(['aborted']);
    expect(health()).toBe(true);
    raw.socket.destroy();
  });
});
