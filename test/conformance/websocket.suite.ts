/**
 * WebSockets through a data plane, as a client library and an upstream see them, and what becomes of
 * handshakes that are none. The same suite runs against both data planes.
 */
import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { must } from '#shared/base/assert.ts';
import { sendRaw } from '../../node-dp/raw-client.suite.ts';
import type { AdminClient } from '../support/admin-client.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';

export interface WebSocketCapabilities {
  readonly name: string;
  /** The listener closes behind a refused handshake and reads nothing that follows it. */
  readonly closesBehindRefusal: boolean;
}

export interface WebSocketHarness {
  readonly url: string;
  close(): Promise<void>;
}

/** Both kinds of upstream that the suite's routes lead to. */
export interface WebSocketUpstreams {
  /** `host:port` of one that speaks WebSocket, and of one that answers handshakes by hand. */
  readonly echo: string;
  readonly raw: string;
  /** What the second was sent, Latin-1. */
  readonly rawText: () => string;
  /** Handshakes that the first has seen: their request fields, lower case. */
  readonly handshakes: readonly Readonly<Record<string, string | string[] | undefined>>[];
  close(): void;
}

export async function startWebSocketUpstreams(): Promise<WebSocketUpstreams> {
  const echo = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  await new Promise((resolve) => echo.once('listening', resolve));
  const handshakes: Readonly<Record<string, string | string[] | undefined>>[] = [];
  echo.on('connection', (socket, request) => {
    handshakes.push(request.headers);
    // Frames that are none; the library has said so to the client by then.
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      if (String(data) === 'close me') socket.close(4002, 'as you wish');
      else if (String(data) === 'drop me') socket.terminate();
      else socket.send(data, { binary: isBinary });
    });
  });
  const raw = await startRaw();
  return {
    echo: addressOf(echo),
    raw: addressOf(raw.server),
    rawText: raw.text,
    handshakes,
    close: () => {
      for (const client of echo.clients) client.terminate();
      echo.close();
      raw.close();
    },
  };
}

const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';

async function startRaw(): Promise<{ server: Server; text: () => string; close: () => void }> {
  const sockets = new Set<Socket>();
  let text = '';
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const part = chunk.toString('latin1');
      text += part;
      socket.write(answerTo(part));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { server, text: () => text, close };
}

function answerTo(request: string): string {
  const [, target = ''] = request.split(' ');
  const key = /^sec-websocket-key: (.*)\r$/im.exec(request)?.[1] ?? '';
  const accept = createHash('sha1')
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  switch (target) {
    case '/refused':
      return 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno';
    case '/bad-accept':
      return `${SWITCHED}Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n`;
    case '/no-accept':
      return `${SWITCHED}\r\n`;
    case '/garbage':
      return 'SSH-2.0-OpenSSH_9.2\r\n\r\n';
    default:
      return `${SWITCHED}Sec-WebSocket-Accept: ${accept}\r\n\r\n`;
  }
}

function addressOf(server: { address(): unknown }): string {
  const { port } = must(server.address() as AddressInfo | null, 'an address');
  return `127.0.0.1:${port}`;
}

/** Creates what the suite needs; `/canary` answers 502 once all of it is there. */
export async function createWebSocketFixture(
  admin: AdminClient,
  upstreams: WebSocketUpstreams,
): Promise<void> {
  await admin.post('/services', { name: 'ws', url: `http://${upstreams.echo}` });
  await admin.post('/services', { name: 'raw', url: `http://${upstreams.raw}`, retries: 0 });
  const route = (service: string, name: string) =>
    admin.post(`/services/${service}/routes`, { name, paths: [`/${name}`] });
  await route('ws', 'chat');
  await route('ws', 'keyed');
  await route('ws', 'filtered');
  await admin.post('/services/raw/routes', { name: 'raw', paths: ['/raw'] });
  await admin.post('/consumers', { username: 'ann' });
  await admin.post('/consumers/ann/key-auth', { key: 'ann-key-0123456789' });
  await admin.post('/routes/keyed/plugins', { name: 'key-auth', config: {} });
  await admin.post('/routes/filtered/plugins', {
    name: 'response-transformer',
    config: {
      add: { headers: ['x-added:yes'], json: ['added:value'] },
      replace: { headers: ['sec-websocket-accept:broken', 'upgrade:h2c'] },
      remove: { headers: ['connection'] },
    },
  });
  await admin.post('/services/raw/routes', { name: 'canary', paths: ['/canary'] });
}

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

function handshake(target: string, changes: (text: string) => string = (text) => text): string {
  return changes(
    `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
}

export function webSocketSuite(
  capabilities: WebSocketCapabilities,
  start: (upstreams: WebSocketUpstreams) => Promise<WebSocketHarness>,
): void {
  let upstreams: WebSocketUpstreams;
  let harness: WebSocketHarness;
  beforeAll(async () => {
    upstreams = await startWebSocketUpstreams();
    harness = await start(upstreams);
  });
  afterAll(async () => {
    await harness?.close();
    upstreams?.close();
  });
  const context: Context = {
    url: () => harness.url,
    port: () => Number(new URL(harness.url).port),
    upstreams: () => upstreams,
  };

  describe(`WebSockets on ${capabilities.name}`, () => {
    sessionTests(context);
    handshakeTests(context, capabilities);
  });
}

interface Context {
  readonly url: () => string;
  readonly port: () => number;
  readonly upstreams: () => WebSocketUpstreams;
}

interface Client {
  readonly socket: WebSocket;
  readonly messages: Buffer[];
  /** Close code, once it is closed. */
  readonly closed: Promise<number>;
}

async function dial(url: string, path: string, protocols: string[] = [], headers = {}) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, protocols, { headers });
  const messages: Buffer[] = [];
  socket.on('message', (data: Buffer) => messages.push(data));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const client: Client = { socket, messages, closed };
  return client;
}

function sessionTests({ url, upstreams }: Context): void {
  it('carries text and binary both ways, small and large', async () => {
    const { socket, messages, closed } = await dial(url(), '/chat');

    socket.send('hello');
    socket.send(Buffer.alloc(1_000_000, 7));
    await eventually('both echoes', () => messages.length === 2);
    socket.close(4001, 'enough');

    expect(String(messages[0])).toBe('hello');
    expect(messages[1]?.equals(Buffer.alloc(1_000_000, 7))).toBe(true);
    expect(await closed).toBe(4001);
  });

  it('passes the upstream’s close code on', async () => {
    const { socket, closed } = await dial(url(), '/chat');

    socket.send('close me');

    expect(await closed).toBe(4002);
  });

  it('lets the client see that the upstream has gone', async () => {
    const { socket, closed } = await dial(url(), '/chat');

    socket.send('drop me');

    expect(await closed).toBe(1006);
  });

  it('lets client and upstream agree on a subprotocol', async () => {
    const { socket } = await dial(url(), '/chat', ['one', 'two']);

    expect(socket.protocol).toBe('one');
    socket.terminate();
  });

  it('says upstream who asks, as with any request', async () => {
    const { socket } = await dial(url(), '/chat', [], { 'x-mine': 'kept' });

    const fields = must(upstreams().handshakes.at(-1), 'a handshake');
    expect(fields['x-mine']).toBe('kept');
    expect(fields['x-forwarded-for']).toBe('127.0.0.1');
    expect(String(fields['connection']).toLowerCase()).toBe('upgrade');
    expect(fields['upgrade']).toBe('websocket');
    socket.terminate();
  });

  it('authenticates before it switches', async () => {
    const refused = await dial(url(), '/keyed').catch((error: unknown) => String(error));
    const { socket, messages } = await dial(url(), '/keyed', [], { apikey: 'ann-key-0123456789' });

    expect(refused).toContain('401');
    socket.send('in');
    await eventually('the echo', () => messages.length === 1);
    expect(upstreams().handshakes.at(-1)?.['x-consumer-username']).toBe('ann');
    socket.terminate();
  });

  it('runs header filters, which break nothing, and touches no frame', async () => {
    const socket = new WebSocket(`${url().replace('http', 'ws')}/filtered`);
    const fields = new Promise<Record<string, unknown>>((resolve) =>
      socket.once('upgrade', ({ headers }) => resolve(headers)),
    );
    await new Promise((resolve) => socket.once('open', resolve));
    const echoed = new Promise((resolve) =>
      socket.once('message', (data) => resolve(String(data))),
    );
    socket.send('{"a":1}');

    expect((await fields)['x-added']).toBe('yes');
    expect(await echoed).toBe('{"a":1}');
    socket.terminate();
  });
}

function handshakeTests({ url, port, upstreams }: Context, capabilities: WebSocketCapabilities) {
  it('answers the client’s own key', async () => {
    const { text } = await sendRaw(port(), handshake('/raw/switch'));

    expect(text).toMatch(/^HTTP\/1\.1 101 /);
    expect(text).toMatch(
      new RegExp(`^sec-websocket-accept: ${ACCEPT.replace('+', '\\+')}\r$`, 'im'),
    );
  });

  it('carries a frame that comes with the handshake, and takes one in pieces', async () => {
    const frame = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]);
    const text = handshake('/chat');

    const early = await sendRaw(port(), Buffer.concat([Buffer.from(text), frame]));
    const cut = await sendRaw(port(), text.slice(0, 7), text.slice(7, -3), text.slice(-3), frame);

    for (const answer of [early, cut]) {
      expect(answer.text).toMatch(/^HTTP\/1\.1 101 /);
      expect(answer.text.endsWith('\r\n\r\n\x81\x02hi')).toBe(true);
    }
  });

  it.each([
    ['an opcode that nobody knows', [0x83, 0x80, 0, 0, 0, 0]],
    ['a frame without a mask', [0x81, 0x02, 0x68, 0x69]],
    [
      'a length beyond all bounds',
      [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    ],
    ['a fragmented ping', [0x09, 0x80, 0, 0, 0, 0]],
  ])('comes through %s unharmed', async (_what, frame) => {
    const answer = await sendRaw(port(), handshake('/chat'), Buffer.from(frame));

    // Whoever reads frames says what is wrong with it: a close frame, or no more than the end.
    const behind = answer.text.slice(answer.text.indexOf('\r\n\r\n') + 4);
    expect(behind === '' ? answer.closed : behind.startsWith('\x88')).toBe(true);
    const { socket, messages } = await dial(url(), '/chat');
    socket.send('still there');
    await eventually('the echo', () => messages.length === 1);
    socket.terminate();
  });

  it('passes a refusal on as it is', async () => {
    const smuggled = 'GET /raw/smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
    const answer = await sendRaw(port(), handshake('/raw/refused'), smuggled);

    expect(answer.status).toBe(403);
    if (!capabilities.closesBehindRefusal) return;
    expect(answer.closed).toBe(true);
    expect(upstreams().rawText()).not.toContain('smuggled');
  });

  it.each(['/raw/bad-accept', '/raw/no-accept', '/raw/garbage'])(
    'answers 502 to an upstream that only seems to switch: %s',
    async (target) => {
      const answer = await sendRaw(port(), handshake(target));

      expect(answer.status).toBe(502);
      expect(answer.text).toContain('An invalid response was received from the upstream server');
    },
  );

  it('answers 502 to a 101 that nobody asked for', async () => {
    expect((await send(url(), '/raw/unasked')).status).toBe(502);
  });

  it.each([
    ['another protocol', (text: string) => text.replace('Upgrade: websocket', 'Upgrade: h2c')],
    ['no key', (text: string) => text.replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['no version', (text: string) => text.replace(/Sec-WebSocket-Version.*\r\n/, '')],
    ['no Connection', (text: string) => text.replace('Connection: Upgrade\r\n', '')],
  ])('does not ask the upstream to switch for a handshake with %s', async (what, change) => {
    const target = `/raw/refused?${what.replace(/\W/g, '')}`;

    await sendRaw(port(), handshake(target, change));

    const sent = must(upstreams().rawText().split(target.slice('/raw'.length)).at(-1), 'a request');
    expect(sent).not.toMatch(/^upgrade:/im);
  });
}
