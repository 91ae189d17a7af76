import type { Socket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { eventually } from '../../test/support/eventually.ts';
import { StartedStreams, streamRoute } from './streams.suite.ts';
import { EARLY_BYTES_MAX, EARLY_DATAGRAMS_MAX, UdpListener } from './udp-listener.ts';

const started = new StartedStreams();
afterEach(() => started.close());

/** Answers each datagram with who it came from, and it. */
async function echo(prefix = ''): Promise<{ port: number; peers: Set<number> }> {
  const socket = await started.udpSocket();
  const peers = new Set<number>();
  socket.on('message', (datagram, from) => {
    peers.add(from.port);
    socket.send(`${prefix}${String(datagram)}`, from.port, from.address);
  });
  return { port: socket.address().port, peers };
}

async function client(
  port: number,
): Promise<{ socket: Socket; heard: string[]; say: (text: string) => void }> {
  const socket = await started.udpSocket();
  const heard: string[] = [];
  socket.on('message', (datagram) => heard.push(String(datagram)));
  return { socket, heard, say: (text) => socket.send(text, port, '127.0.0.1') };
}

function tablesTo(port: number, service = {}) {
  const config = new TestConfig();
  streamRoute(config, port, { protocols: ['udp'] }, { protocol: 'udp', ...service });
  return config.tables();
}

describe('a udp route', () => {
  it('gives every client a session of its own, and answers back', async () => {
    const upstream = await echo('re: ');
    const { port, listener } = await started.streams(tablesTo(upstream.port), { udp: true });
    const [ann, bob] = [await client(port), await client(port)];

    ann.say('a1');
    bob.say('b1');
    await eventually('both', () => ann.heard.length === 1 && bob.heard.length === 1);
    ann.say('a2');
    await eventually('the second', () => ann.heard.length === 2);

    expect(ann.heard).toEqual(['re: a1', 're: a2']);
    expect(bob.heard).toEqual(['re: b1']);
    expect(upstream.peers.size).toBe(2);
    expect(listener.sessionCount).toBe(2);
  });

  it('ends a session after its silence, and says what went through', async () => {
    const upstream = await echo();
    const tables = tablesTo(upstream.port, { read_timeout: 100 });
    const { port, listener, log } = await started.streams(tables, { udp: true });
    const ann = await client(port);

    ann.say('hello');
    await eventually('the answer', () => ann.heard.length === 1);
    await eventually('the end', () => listener.sessionCount === 0);

    expect(log[0]?.session).toMatchObject({
      protocol: 'udp',
      received: 5,
      sent: 5,
      complete: true,
      end: 'ended',
    });
    ann.say('again');
    await eventually('a new session', () => ann.heard.length === 2);
  });

  it('holds no more sessions than it may, and drops what comes beyond', async () => {
    const upstream = await echo();
    const changes = { sessionsMax: 50 };
    const { port, listener } = await started.streams(
      tablesTo(upstream.port),
      { udp: true },
      changes,
    );
    const clients = await Promise.all(Array.from({ length: 80 }, () => client(port)));

    for (const each of clients) each.say('x');
    await eventually(
      'those with room',
      () => clients.filter(({ heard }) => heard.length > 0).length === 50,
    );

    expect(listener.sessionCount).toBe(50);
    expect(listener instanceof UdpListener && listener.droppedCount).toBe(30);
  });

  it('holds what comes before its upstream is found within bounds: of each session, and of all', async () => {
    const changes = { handle: () => new Promise<null>(() => {}) };
    const tables = tablesTo(1);
    const { port, listener } = await started.streams(tables, { udp: true }, changes);
    if (!(listener instanceof UdpListener)) throw new Error('a listener of datagrams');
    const ann = await client(port);

    for (let i = 0; i < EARLY_DATAGRAMS_MAX + 2; i += 1) ann.say('x');
    await eventually('those beyond to be dropped', () => listener.droppedCount === 2);

    const large = 'x'.repeat(60_000);
    const clients = await Promise.all(Array.from({ length: 20 }, () => client(port)));
    const sentMax = Math.ceil(EARLY_BYTES_MAX / large.length) + 40;
    for (let sent = 0; listener.droppedCount === 2; sent += 1) {
      expect(sent).toBeLessThan(sentMax);
      clients[sent % clients.length]?.say(large);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(listener.sessionCount).toBe(21);
  });

  it('gives back the room of what went on or was dropped', async () => {
    let settle = (_answer: null): void => {};
    const changes = { handle: () => new Promise<null>((resolve) => (settle = resolve)) };
    const { port, listener } = await started.streams(tablesTo(1), { udp: true }, changes);
    if (!(listener instanceof UdpListener)) throw new Error('a listener of datagrams');
    const ann = await client(port);
    const rounds = Math.ceil(EARLY_BYTES_MAX / 60_000) + 5;

    for (let i = 0; i < rounds; i += 1) {
      ann.say('x'.repeat(60_000));
      // Hundreds of rounds: `eventually` looks too seldom.
      while (listener.sessionCount === 0) await new Promise((resolve) => setImmediate(resolve));
      settle(null);
      while (listener.sessionCount > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(listener.droppedCount).toBe(0);
  });

  it('ends the session when nobody listens at the upstream, and begins anew with the next', async () => {
    const { port, listener, log } = await started.streams(tablesTo(1), { udp: true });
    const ann = await client(port);

    ann.say('x');
    await eventually('the end', () => log.length === 1);
    expect(log[0]?.session.end).toBe('upstream_reset');
    ann.say('y');

    await eventually('another', () => listener.acceptedCount === 2);
  });

  it('drops what is meant for a name that does not resolve', async () => {
    const tables = tablesTo(53, { host: 'no-such-host.invalid' });
    const { port, log } = await started.streams(tables, { udp: true });
    const ann = await client(port);

    ann.say('x');

    await eventually('the refusal', () => log.length === 1);
    expect(log[0]).toMatchObject({ session: { status: 500 }, tries: [{ state: 'resolve' }] });
  });

  it('drops what no route matches', async () => {
    const config = new TestConfig();
    const { port, listener, log } = await started.streams(config.tables(), { udp: true });
    const ann = await client(port);

    ann.say('x');

    await eventually('the refusal', () => log.length === 1);
    expect(log[0]?.session.end).toBe('no route');
    expect(listener.sessionCount).toBe(0);
  });

  it('does not take a tcp route for datagrams', async () => {
    const config = new TestConfig();
    streamRoute(config, 1);
    const { port, log } = await started.streams(config.tables(), { udp: true });
    const ann = await client(port);

    ann.say('x');

    await eventually('the refusal', () => log.length === 1);
    expect(log[0]?.session.end).toBe('no route');
  });
});
