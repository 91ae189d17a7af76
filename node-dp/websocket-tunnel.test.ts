import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { must } from '#shared/base/assert.ts';
import type { AccessLogEntry } from '#shared/proxy/log-entry.ts';
import { TestConfig, testPlugin } from '../test/support/builders.ts';
import { makeCertificate } from '../test/support/certificates.ts';
import { eventually } from '../test/support/eventually.ts';
import { hasOpenssl } from '../test/support/openssl.ts';
import { proxyTo, Started } from './gateway.suite.ts';
import { terminationOf } from './tls/tls.suite.ts';

const started = new Started();
const cleanups: (() => void)[] = [];
afterEach(async () => {
  while (cleanups.length > 0) must(cleanups.pop(), 'a cleanup')();
  await started.close();
});

const HANDSHAKE =
  'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

interface Tunnel {
  /** The far ends. */
  readonly client: Socket;
  readonly upstream: Socket;
  readonly log: AccessLogEntry[];
  readonly gateway: Awaited<ReturnType<Started['gateway']>>;
  readonly seen: { client: string; upstream: string };
}

/** A connection that has switched, and both ends of it. */
async function tunnel(service = {}, changes = {}): Promise<Tunnel> {
  const seen = { client: '', upstream: '' };
  let isSwitched = false;
  const upstream = await started.upstream((socket, text) => {
    socket.allowHalfOpen = true;
    if (isSwitched) seen.upstream += text;
    else socket.write(SWITCHED);
    isSwitched = true;
  });
  const log: AccessLogEntry[] = [];
  const config = proxyTo(upstream.port, service);
  const gateway = await started.gateway(config.tables(), changes, (entry) => log.push(entry));
  const client = connect({ host: '127.0.0.1', port: gateway.port, allowHalfOpen: true });
  cleanups.push(() => client.destroy());
  client.on('error', () => {});
  client.on('data', (chunk: Buffer) => (seen.client += chunk.toString('latin1')));
  client.write(HANDSHAKE);
  await eventually('the 101', () => seen.client.includes('\r\n\r\n'));
  seen.client = '';
  return { client, upstream: must(upstream.connections[0], 'a connection'), log, gateway, seen };
}

describe('a connection that has switched', () => {
  it('is logged when it ends, with what went to the client', async () => {
    const { client, upstream, log, seen } = await tunnel();
    upstream.write('12345');
    client.write('question');
    await eventually('both', () => seen.client === '12345' && seen.upstream === 'question');
    expect(log).toHaveLength(0);

    client.end();
    upstream.end();

    await eventually('a line', () => log.length === 1);
    expect(log[0]?.response).toMatchObject({ status: 101, size: 5, complete: true });
  });

  it('passes an end on, and goes on the other way', async () => {
    const { client, upstream, seen } = await tunnel();
    const hasEnded = new Promise((resolve) => upstream.once('end', resolve));

    client.end('bye');
    await hasEnded;
    upstream.end('still here');

    await eventually('the rest', () => seen.client === 'still here');
  });

  it('passes a reset of the client on', async () => {
    const { client, upstream, log } = await tunnel();

    client.resetAndDestroy();

    await eventually('the upstream is let go', () => upstream.destroyed);
    await eventually('a line', () => log.length === 1);
    expect(log[0]?.response.complete).toBe(false);
  });

  it('ends when nothing was said for the read timeout of the service', async () => {
    const { client, log } = await tunnel({ read_timeout: 100 });

    await eventually('the end', () => client.destroyed || client.readableEnded);
    await eventually('a line', () => log.length === 1);
  });

  it('lets an upstream wait for a client that does not read, and gives up on one that never does', async () => {
    const { client, upstream, gateway } = await tunnel({}, { sendIdleMs: 300 });
    client.pause();
    const chunk = Buffer.alloc(256 * 1024);
    let sent = 0;
    const pump = (): void => {
      while (!upstream.destroyed && upstream.write(chunk)) sent += chunk.length;
    };
    upstream.on('drain', pump);
    pump();

    await eventually('the end', () => gateway.listener.tunnelCount === 0);

    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  it('gets a grace when the listener stops, and is cut then', async () => {
    const { client, upstream, gateway, seen } = await tunnel();

    const drained = gateway.listener.drain(300);
    upstream.write('during');
    await eventually('it goes on', () => seen.client === 'during');
    await drained;

    await eventually('the cut', () => client.destroyed || client.readableEnded);
  });

  it('goes on when a new configuration takes its route away', async () => {
    const { client, upstream, gateway, seen } = await tunnel();

    gateway.swap(new TestConfig().tables());
    upstream.write('still ');
    client.write('here');

    await eventually('both', () => seen.client === 'still ' && seen.upstream === 'here');
  });

  it('counts towards the connections that a listener holds', async () => {
    const { gateway } = await tunnel({}, { connectionsMax: 1 });
    const other = connect({ host: '127.0.0.1', port: gateway.port });
    cleanups.push(() => other.destroy());

    await new Promise((resolve) => other.once('close', resolve));

    expect(gateway.listener.tunnelCount).toBe(1);
  });

  it('starts the log phase of plugins when it is over', async () => {
    const upstream = await started.upstream((socket) => socket.write(SWITCHED));
    const config = proxyTo(upstream.port);
    let logged = 0;
    config.provide(testPlugin('after', { log: () => void (logged += 1) }));
    config.plugin('after');
    const gateway = await started.gateway(config.tables());
    const client = connect({ host: '127.0.0.1', port: gateway.port });
    let text = '';
    client.on('data', (chunk) => (text += String(chunk)));
    client.write(HANDSHAKE);
    await eventually('the 101', () => text.includes('\r\n\r\n'));
    expect(logged).toBe(0);

    client.destroy();

    await eventually('the log phase', () => logged === 1);
  });
});

describe.skipIf(!hasOpenssl())('a WebSocket over TLS', () => {
  it('is passed through like any other', async () => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await new Promise((resolve) => server.once('listening', resolve));
    cleanups.push(() => server.close());
    server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    const { port } = must(server.address() as { port: number } | null, 'an address');
    const gateway = await started.gateway(proxyTo(port).tables(), {
      listen: { host: '127.0.0.1', port: 0, tls: true },
      tls: terminationOf(makeCertificate()),
    });
    const socket = new WebSocket(`wss://127.0.0.1:${gateway.port}/chat`, {
      rejectUnauthorized: false,
    });
    cleanups.push(() => socket.terminate());
    let length = 0;
    socket.on('message', (data: Buffer) => (length += data.length));
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });

    socket.send(Buffer.alloc(3_000_000));

    await eventually('the echo', () => length === 3_000_000);
  });
});
