import { connect, type Socket } from 'node:net';
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { must } from '#shared/base/assert.ts';
import { eventually } from '../test/support/eventually.ts';
import { proxyTo, Started, type RunningGateway } from './gateway.suite.ts';
import { sendRaw } from './raw-client.suite.ts';

const started = new Started();
const cleanups: (() => void)[] = [];
afterEach(async () => {
  while (cleanups.length > 0) must(cleanups.pop(), 'a cleanup')();
  await started.close();
});

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const HANDSHAKE =
  'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;
const BARE = 'HTTP/1.1 101 Switching Protocols\r\n\r\n';

/** An upstream that switches, and sends back what it gets. */
async function echoServer(): Promise<{ port: number; server: WebSocketServer }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => server.once('listening', resolve));
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  cleanups.push(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  return { port: must(server.address() as { port: number } | null, 'an address').port, server };
}

async function open(port: number, path = '/chat'): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  cleanups.push(() => socket.terminate());
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return socket;
}

function rawClient(port: number): { socket: Socket; text: () => string; isClosed: () => boolean } {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  let text = '';
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => (isClosed = true));
  cleanups.push(() => socket.destroy());
  return { socket, text: () => text, isClosed: () => isClosed };
}

function gatewayTo(port: number, service = {}): Promise<RunningGateway> {
  return started.gateway(proxyTo(port, service).tables());
}

describe('a WebSocket through the gateway', () => {
  it('carries messages both ways, and the closing handshake with its code', async () => {
    const { port } = await echoServer();
    const gateway = await gatewayTo(port);
    const socket = await open(gateway.port);
    const messages: string[] = [];
    socket.on('message', (data) => messages.push(String(data)));

    socket.send('one');
    socket.send(Buffer.alloc(300_000, 'x'));
    await eventually('both echoes', () => messages.length === 2);
    const closed = new Promise((resolve) => socket.once('close', (code) => resolve(code)));
    socket.close(4001, 'enough');

    expect(await closed).toBe(4001);
    expect(messages[0]).toBe('one');
    expect(messages[1]).toHaveLength(300_000);
    await eventually('the tunnel is gone', () => gateway.listener.tunnelCount === 0);
  });

  it('passes on a refusal as it is, and closes', async () => {
    const upstream = await started.upstream((socket) => {
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    });
    const gateway = await gatewayTo(upstream.port);

    const answer = await sendRaw(
      gateway.port,
      HANDSHAKE,
      'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
    );

    expect(answer.status).toBe(403);
    expect(answer.text).toMatch(/connection: close/i);
    expect(answer.text.endsWith('no')).toBe(true);
    expect(answer.closed).toBe(true);
    expect(upstream.text).not.toContain('smuggled');
  });

  it('holds what comes before the 101, and hands it over then', async () => {
    let answer = (): void => {};
    const upstream = await started.upstream((socket, text) => {
      if (text.startsWith('GET')) answer = () => socket.write(SWITCHED);
    });
    const gateway = await gatewayTo(upstream.port);
    const client = rawClient(gateway.port);

    client.socket.write(`${HANDSHAKE}early `);
    client.socket.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
    await eventually('the handshake', () => upstream.text.includes('\r\n\r\n'));
    expect(upstream.text.endsWith('\r\n\r\n')).toBe(true);
    expect(upstream.text).not.toContain('early');
    answer();

    await eventually('the rest', () =>
      upstream.text.endsWith('\r\n\r\nearly GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'),
    );
    expect(upstream.connections).toHaveLength(1);
    expect(client.text()).toContain(`Sec-WebSocket-Accept: ${ACCEPT}`);
  });

  it('takes no more than its bound before the 101', async () => {
    const upstream = await started.upstream(() => {});
    const gateway = await gatewayTo(upstream.port);
    const client = rawClient(gateway.port);
    client.socket.write(HANDSHAKE);
    await eventually('the handshake', () => upstream.text.includes('\r\n\r\n'));

    let isTaken = true;
    for (let i = 0; i < 200 && isTaken; i++) {
      isTaken = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), 300);
        client.socket.write(Buffer.alloc(256 * 1024), () => {
          clearTimeout(timer);
          resolve(true);
        });
      });
    }

    expect(isTaken).toBe(false);
    expect(upstream.text.endsWith('\r\n\r\n')).toBe(true);
  });

  it('passes what the upstream sends right behind its 101', async () => {
    const upstream = await started.upstream((socket) => socket.write(`${SWITCHED}at once`));
    const gateway = await gatewayTo(upstream.port);
    const client = rawClient(gateway.port);

    client.socket.write(HANDSHAKE);

    await eventually('the bytes', () => client.text().endsWith('\r\n\r\nat once'));
  });

  it('takes a handshake in pieces', async () => {
    const upstream = await started.upstream((socket, text) => {
      if (text.includes('\r\n\r\n')) socket.write(`${SWITCHED}`);
    });
    const gateway = await gatewayTo(upstream.port);
    const client = rawClient(gateway.port);
    client.socket.setNoDelay(true);

    for (const byte of HANDSHAKE) {
      await new Promise((resolve) => client.socket.write(byte, resolve));
    }

    await eventually('the 101', () => client.text().includes(' 101 '));
  });

  it.each([
    ['wrong accept', SWITCHED.replace(ACCEPT, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
    ['no accept', SWITCHED.replace(/Sec-WebSocket-Accept.*\r\n/, '')],
    ['two accepts', SWITCHED.replace(/(Sec-WebSocket-Accept.*\r\n)/, '$1$1')],
    ['another protocol', SWITCHED.replace('websocket', 'h2c')],
    ['no Upgrade', SWITCHED.replace('Upgrade: websocket\r\n', '')],
    ['no Connection', SWITCHED.replace('Connection: Upgrade\r\n', '')],
    [
      'a subprotocol nobody offered',
      SWITCHED.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: x\r\n\r\n'),
    ],
    ['a length', SWITCHED.replace('\r\n\r\n', '\r\nContent-Length: 5\r\n\r\nhello')],
    ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ])('answers 502 to a 101 with %s', async (_what, text) => {
    const upstream = await started.upstream((socket) => socket.write(text));
    const gateway = await gatewayTo(upstream.port);

    const answer = await sendRaw(gateway.port, HANDSHAKE);

    expect(answer.status).toBe(502);
    expect(answer.closed).toBe(true);
    await eventually('the upstream is let go', () => upstream.connections[0]?.destroyed);
  });

  it('answers 504 to an upstream that hangs, having asked another one too', async () => {
    const hanging = await started.upstream(() => {});
    const gateway = await gatewayTo(hanging.port, { read_timeout: 100, retries: 1 });

    const answer = await sendRaw(gateway.port, HANDSHAKE);

    expect(answer.status).toBe(504);
    expect(answer.closed).toBe(true);
    expect(hanging.text.match(/^GET /gm)).toHaveLength(2);
    await eventually('nothing in flight', () => gateway.listener.inFlight === 0);
  });

  it.each([
    ['whole', SWITCHED],
    ['bare', BARE],
    ['followed by an answer', `${BARE}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`],
  ])('answers 502 to a 101 that nobody asked for: %s', async (_what, text) => {
    const upstream = await started.upstream((socket) => socket.write(text));
    const gateway = await gatewayTo(upstream.port);

    const answer = await sendRaw(gateway.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');

    expect(answer.status).toBe(502);
    await eventually('the upstream is let go', () => upstream.connections[0]?.destroyed);
  });

  it.each([
    ['h2c', HANDSHAKE.replace('websocket', 'h2c')],
    ['two protocols', HANDSHAKE.replace('websocket', 'websocket, h2c')],
    [
      'two Upgrade fields',
      HANDSHAKE.replace('Upgrade: websocket', 'Upgrade: h2c\r\nUpgrade: websocket'),
    ],
    ['POST', HANDSHAKE.replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 0\r\n\r\n')],
    ['no key', HANDSHAKE.replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['a short key', HANDSHAKE.replace(KEY, 'AAAA')],
    ['no version', HANDSHAKE.replace(/Sec-WebSocket-Version.*\r\n/, '')],
    ['no Connection', HANDSHAKE.replace('Connection: Upgrade\r\n', '')],
    ['HTTP/1.0', HANDSHAKE.replace('HTTP/1.1', 'HTTP/1.0')],
    ['a body', HANDSHAKE.replace('\r\n\r\n', '\r\nContent-Length: 3\r\n\r\nabc')],
  ])('does not ask the upstream to switch for %s', async (_what, text) => {
    const upstream = await started.upstream((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain');
    });
    const gateway = await gatewayTo(upstream.port);

    const answer = await sendRaw(gateway.port, text);

    expect(answer.status).toBe(200);
    expect(upstream.text).not.toMatch(/^upgrade:/im);
  });

  it('does not switch behind another request', async () => {
    const upstream = await started.upstream((socket, text) => {
      for (const _ of text.matchAll(/^GET /gm))
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain');
    });
    const gateway = await gatewayTo(upstream.port);

    const answer = await sendRaw(
      gateway.port,
      `GET /first HTTP/1.1\r\nHost: a\r\n\r\n${HANDSHAKE}`,
    );

    expect(answer.text.match(/ 200 OK/g)).toHaveLength(2);
    expect(upstream.text).not.toMatch(/^upgrade:/im);
  });

  it('asks once for a client that goes away while it waits, and lets the upstream go', async () => {
    const upstream = await started.upstream(() => {});
    const gateway = await gatewayTo(upstream.port, { retries: 5 });
    const client = rawClient(gateway.port);
    client.socket.write(HANDSHAKE);
    await eventually('the handshake', () => upstream.text.includes('\r\n\r\n'));

    client.socket.destroy();

    await eventually('the upstream is let go', () => upstream.connections[0]?.destroyed);
    expect(upstream.connections).toHaveLength(1);
    await eventually('nothing in flight', () => gateway.listener.inFlight === 0);
  });

  it('runs plugins before it, and lets no filter break the handshake', async () => {
    const { port } = await echoServer();
    const config = proxyTo(port);
    config.consumer('ann', 'ann-key-0123456789');
    config.plugin('key-auth');
    config.plugin('response-transformer', {
      add: { headers: ['x-added:yes'] },
      replace: { headers: ['sec-websocket-accept:broken', 'upgrade:h2c'] },
      remove: { headers: ['connection'] },
    });
    const gateway = await started.gateway(config.tables());

    expect((await sendRaw(gateway.port, HANDSHAKE)).status).toBe(401);
    const allowed = HANDSHAKE.replace('Host: a', 'Host: a\r\napikey: ann-key-0123456789');
    const client = rawClient(gateway.port);
    client.socket.write(allowed);

    await eventually('the 101', () => client.text().includes('\r\n\r\n'));
    expect(client.text()).toMatch(/^HTTP\/1\.1 101 /);
    expect(client.text()).toContain('x-added: yes');
    expect(client.text()).toContain(`Sec-WebSocket-Accept: ${acceptFor(KEY)}`);
    expect(client.text()).toMatch(/^Upgrade: websocket\r$/m);
    expect(client.text()).toMatch(/^Connection: upgrade\r$/m);
  });
});

function acceptFor(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}
