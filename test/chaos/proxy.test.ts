/** The faults themselves: a proxy that does not do what it says would make every other test pass. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { ChaosProxy, type ChaosProxyOptions } from './chaos-proxy.ts';
import { postgresMessages, webSocketFrames } from './splitters.ts';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

interface Peer {
  readonly socket: Socket;
  text: string;
  hasEnded: boolean;
  isReset: boolean;
}

function peer(socket: Socket): Peer {
  const made: Peer = { socket, text: '', hasEnded: false, isReset: false };
  socket.on('data', (data) => (made.text += data.toString('latin1')));
  socket.on('end', () => (made.hasEnded = true));
  socket.on('error', () => (made.isReset = true));
  cleanUps.push(() => socket.destroy());
  return made;
}

/** A client and a server with the proxy between them. */
async function joined(options: Partial<ChaosProxyOptions> = {}) {
  const server: Server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.push(() => server.close());
  const accepted = once(server, 'connection');
  // A listening TCP server's address is an object.
  const proxy = await ChaosProxy.start({
    target: (server.address() as AddressInfo).port,
    ...options,
  });
  cleanUps.push(() => proxy.stop());
  const client = peer(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }));
  // What `once` answers is untyped.
  const [socket] = (await accepted) as [Socket];
  return { proxy, client, server: peer(socket) };
}

const typed = (type: string, body: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, Buffer.from(body, 'latin1')]);
};
const startup = typed('', '\0\x03\0\0user\0me\0\0');

describe('the chaos proxy', () => {
  it('left alone passes everything on, ends included', async () => {
    const { client, server, proxy } = await joined();
    client.socket.end('question');
    await eventually('the question', () => server.text === 'question' && server.hasEnded);
    server.socket.end('answer');
    await eventually('the answer', () => client.text === 'answer' && client.hasEnded);
    await eventually('no connection', () => proxy.openCount === 0);
    expect(proxy.bytes).toEqual({ up: 8, down: 6 });
  });

  it('delays, and keeps the order', async () => {
    const { client, server, proxy } = await joined();
    proxy.up.delayMs = 150;
    const startedAt = performance.now();
    client.socket.write('a');
    await eventually('the first', () => client.socket.writableLength === 0);
    client.socket.write('b');
    await eventually('both', () => server.text === 'ab');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(149);
  });

  it('gives only so much bandwidth, and makes the sender wait', async () => {
    const { client, server, proxy } = await joined();
    proxy.up.bytesPerSecond = 1_000_000;
    const startedAt = performance.now();
    client.socket.write('x'.repeat(300_000));
    await eventually('all of it', () => server.text.length === 300_000);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(290);
  });

  it('shows loss as a stall', async () => {
    const { client, server, proxy } = await joined();
    Object.assign(proxy.down, { lossChance: 1, stallMs: 120 });
    const startedAt = performance.now();
    server.socket.write('late');
    await eventually('it', () => client.text === 'late');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119);
  });

  it('is silent one way and not the other, hides an end meanwhile, and heals', async () => {
    const { client, server, proxy } = await joined();
    proxy.up.isSilent = true;
    client.socket.write('unheard');
    server.socket.write('heard');
    await eventually('what was said the other way', () => client.text === 'heard');
    client.socket.resetAndDestroy();
    server.socket.write('to nobody');
    await eventually('it to have left', () => server.socket.writableLength === 0);
    expect([server.text, server.hasEnded, server.isReset]).toEqual(['', false, false]);
    proxy.silence(false);
    await eventually('the reset to show', () => server.isReset);
  });

  it('cuts after so many bytes', async () => {
    const { client, server, proxy } = await joined();
    client.socket.write('12');
    await eventually('two', () => server.text === '12');
    proxy.cutAfter('up', 3);
    client.socket.write('345678');
    await eventually('the end', () => server.isReset || server.socket.destroyed);
    expect(server.text).toBe('12345');
  });

  it('refuses and resets when told to', async () => {
    const { client, proxy } = await joined();
    proxy.breakAll();
    await eventually('the reset', () => client.isReset);
    proxy.isDown = true;
    const late = peer(connect(proxy.port, '127.0.0.1'));
    await eventually('the refusal', () => late.socket.destroyed);
    expect(proxy.openCount).toBe(0);
  });
});

describe('a proxy that reads PostgreSQL', () => {
  it('cuts instead of a COMMIT, however the bytes come', async () => {
    const { client, server, proxy } = await joined({ split: postgresMessages });
    proxy.decide = ({ kind, text }) => (kind === 'Q' && text === 'COMMIT' ? 'cut' : 'pass');
    const begin = typed('Q', 'BEGIN\0');
    const bytes = Buffer.concat([startup, begin, typed('Q', 'COMMIT\0')]);
    client.socket.write(bytes.subarray(0, 3));
    await eventually('to be connected', () => proxy.openCount === 1);
    client.socket.write(bytes.subarray(3, bytes.length - 2));
    await eventually('what came before', () => server.text.endsWith('BEGIN\0'));
    client.socket.write(bytes.subarray(bytes.length - 2));
    await eventually('the cut', () => server.isReset && client.isReset);
    expect(server.text).not.toContain('COMMIT');
  });

  it('cuts after a message, which still arrives', async () => {
    const { client, server, proxy } = await joined({ split: postgresMessages });
    proxy.decide = ({ kind }) => (kind === 'CommandComplete' ? 'cut_after' : 'pass');
    server.socket.write(Buffer.concat([typed('C', 'COMMIT\0'), typed('Z', 'I')]));
    await eventually('the cut', () => client.socket.destroyed);
    expect(client.text).toContain('COMMIT');
    expect(client.text).not.toContain('Z');
  });

  it('drops notifications and nothing else', async () => {
    const { client, server, proxy } = await joined({ split: postgresMessages });
    const seen: string[] = [];
    proxy.decide = ({ kind, text }, direction) => {
      seen.push(`${direction} ${kind} ${text}`);
      return kind === 'NotificationResponse' ? 'drop' : 'pass';
    };
    client.socket.write(Buffer.concat([startup, typed('P', 's1\0SELECT 1\0\0\0')]));
    server.socket.write(Buffer.concat([typed('A', '\0\0\0\x01channel\0hint\0'), typed('Z', 'I')]));
    await eventually('the rest', () => client.text.endsWith('I'));
    await eventually('the statement', () => seen.length === 4);
    expect(client.text).not.toContain('hint');
    expect(seen.toSorted()).toEqual([
      'down NotificationResponse ',
      'down ReadyForQuery ',
      'up P SELECT 1',
      'up startup ',
    ]);
  });
});

describe('a proxy that reads WebSocket frames', () => {
  const frame = (text: string): Buffer =>
    Buffer.concat([
      Buffer.from([0x81, 126, text.length >> 8, text.length & 255]),
      Buffer.from(text),
    ]);
  const head = Buffer.from('HTTP/1.1 101 Switching Protocols\r\n\r\n');

  it('knows them by their type, and drops, doubles and swaps them', async () => {
    const { client, server, proxy } = await joined({ split: webSocketFrames });
    const actions = { delta: 'drop', pong: 'double', want: 'swap' } as const;
    proxy.decide = ({ kind }) =>
      kind === 'delta' || kind === 'pong' || kind === 'want' ? actions[kind] : 'pass';
    const [delta, pong, want, last] = ['delta', 'pong', 'want', 'last'].map((type) =>
      frame(JSON.stringify({ type })),
    );
    server.socket.write(
      Buffer.concat([head, ...[delta, pong, want, last].map((one) => one ?? head)]),
    );
    await eventually('the last', () => client.text.includes('want'));
    expect(client.text.match(/\{"type":"\w+"\}/g)).toEqual([
      '{"type":"pong"}',
      '{"type":"pong"}',
      '{"type":"last"}',
      '{"type":"want"}',
    ]);
  });

  it('reads what is masked', async () => {
    const { client, server, proxy } = await joined({ split: webSocketFrames });
    const kinds: string[] = [];
    proxy.decide = ({ kind }) => {
      kinds.push(kind);
      return 'pass';
    };
    const mask = Buffer.from([1, 2, 3, 4]);
    const text = Buffer.from('{"type":"ack"}').map((byte, i) => byte ^ (mask[i % 4] ?? 0));
    client.socket.write('GET / HTTP/1.1\r\n\r\n');
    client.socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length]), mask, text]));
    await eventually('both', () => kinds.length === 2);
    expect(kinds).toEqual(['upgrade', 'ack']);
    expect(server.text).toContain('GET');
  });
});
