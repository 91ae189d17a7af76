import { createServer as createTlsServer, connect as connectTls, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { makeCertificate } from '../../test/support/certificates.ts';
import { eventually } from '../../test/support/eventually.ts';
import { TestConfig } from '../../test/support/builders.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { Client, StartedStreams, streamRoute } from './streams.suite.ts';

const started = new StartedStreams();
afterEach(() => started.close());

const echo = (name = '') =>
  started.tcpUpstream((socket) => {
    socket.write(name);
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
  });

function tablesTo(port: number, route = {}, service = {}) {
  const config = new TestConfig();
  streamRoute(config, port, route, service);
  return config.tables();
}

describe('a tcp route', () => {
  it('joins client and upstream, and says in the log what went through', async () => {
    const { port, log } = await started.streams(tablesTo(await echo('hi ')));
    const client = started.client(port);

    client.socket.end('question');
    await eventually('the end', () => client.isOver);

    expect(client.text).toBe('hi question');
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({
      client_ip: '127.0.0.1',
      session: { protocol: 'tcp', sni: null, status: 200, received: 8, sent: 11, complete: true },
      tries: [{ host: '127.0.0.1', state: 'ok' }],
    });
  });

  it('lets an upstream speak first', async () => {
    const { port } = await started.streams(tablesTo(await echo('220 ready')));
    const client = started.client(port);

    await eventually('the greeting', () => client.text === '220 ready');
  });

  it('goes by the port that the client connected to', async () => {
    const config = new TestConfig();
    const [one, two] = [await echo('one'), await echo('two')];
    const here = await started.streams(config.tables());
    streamRoute(config, one, { sources: null, destinations: [{ port: here.port }] });
    streamRoute(config, two, { sources: null, destinations: [{ port: here.port + 1 }] });
    here.swap(config.tables());

    const client = started.client(here.port);
    await eventually('an answer', () => client.text === 'one');
  });

  it('closes what no route matches, and connects nobody', async () => {
    let connections = 0;
    const upstream = await started.tcpUpstream(() => (connections += 1));
    const { port, log } = await started.streams(
      tablesTo(upstream, { sources: [{ ip: '10.1.1.1' }] }),
    );
    const client = started.client(port);

    await eventually('the end', () => client.isOver);
    expect(connections).toBe(0);
    expect(log[0]).toMatchObject({ route: null, session: { status: 500, end: 'no route' } });
  });

  it('does not carry in the clear what a route wants by TLS', async () => {
    const { port, log } = await started.streams(
      tablesTo(await echo(), { protocols: ['tls'], snis: ['a.test'], sources: null }),
    );
    const client = started.client(port);

    await eventually('the end', () => client.isOver);
    expect(log[0]?.session.end).toBe('no route');
  });

  it('tries other targets while nothing was sent, and gives up when all have failed', async () => {
    const alive = await echo('alive');
    const config = new TestConfig();
    const upstream = config.add('upstreams', { name: 'pair' });
    config.add('targets', { target: `127.0.0.1:${alive}`, upstream: { id: upstream.id } });
    config.add('targets', { target: '127.0.0.1:1', upstream: { id: upstream.id } });
    streamRoute(config, 1, {}, { host: 'pair', retries: 3 });
    const { port, log, swap } = await started.streams(config.tables());

    for (let i = 0; i < 4; i += 1) {
      const client = started.client(port);
      await eventually('the greeting', () => client.text === 'alive');
      client.socket.end();
      await eventually('the end', () => client.isOver);
    }
    expect(log.some(({ tries }) => tries.length === 2 && tries[0]?.state === 'connect')).toBe(true);

    swap(tablesTo(1, {}, { retries: 1 }));
    const refused = started.client(port);
    await eventually('the end', () => refused.isOver);
    expect(log.at(-1)).toMatchObject({
      session: { status: 500, end: 'upstream connect' },
      tries: [{ state: 'connect' }, { state: 'connect' }],
    });
  });

  it('gives up on an upstream that hangs while it is connected to', async () => {
    const upstream = await started.tcpUpstream(() => {});
    const service = { protocol: 'tls', connect_timeout: 100, retries: 1 };
    const { port, log } = await started.streams(tablesTo(upstream, {}, service));
    const client = started.client(port);

    await eventually('the end', () => client.isOver);
    expect(log[0]).toMatchObject({
      session: { status: 500, end: 'upstream connect_timeout' },
      tries: [{ state: 'connect_timeout' }, { state: 'connect_timeout' }],
    });
  });

  it('gives up the upstream for a client that goes away while it waits', async () => {
    let state = 'nobody';
    const upstream = await started.tcpUpstream((socket) => {
      state = 'asked';
      socket.resume();
      socket.on('end', () => (state = 'let go'));
    });
    const service = { protocol: 'tls', retries: 5 };
    const { port, log } = await started.streams(tablesTo(upstream, {}, service));
    const client = started.client(port);
    await eventually('it waits', () => state === 'asked');

    client.socket.resetAndDestroy();

    await eventually('it is let go', () => state === 'let go');
    await eventually('the log', () => log.length === 1);
    expect(log[0]?.tries).toMatchObject([{ state: 'aborted' }]);
  });

  it('ends a session that is silent for the read timeout', async () => {
    const upstream = await started.tcpUpstream(() => {});
    const { port, log } = await started.streams(tablesTo(upstream, {}, { read_timeout: 100 }));
    const client = started.client(port);

    await eventually('the end', () => client.isOver);
    expect(log[0]?.session).toMatchObject({ end: 'idle', complete: false });
  });

  it('passes on that an upstream has died', async () => {
    const upstream = await started.tcpUpstream((socket) => {
      socket.on('data', () => socket.resetAndDestroy());
    });
    const { port, log } = await started.streams(tablesTo(upstream));
    const client = started.client(port);
    client.socket.write('x');

    await eventually('the end', () => client.isOver);
    expect(client.error).toMatchObject({ code: 'ECONNRESET' });
    expect(log[0]?.session.end).toBe('upstream_reset');
  });

  it('keeps sessions over a change of the configuration that takes their route away', async () => {
    const { port, swap } = await started.streams(tablesTo(await echo()));
    const client = started.client(port);
    client.socket.write('before ');
    await eventually('the echo', () => client.text === 'before ');

    swap(new TestConfig().tables());
    client.socket.write('after');

    await eventually('the echo', () => client.text === 'before after');
    const other = started.client(port);
    await eventually('nobody new', () => other.isOver);
  });

  it('holds no more sessions than it may', async () => {
    const { port, listener } = await started.streams(
      tablesTo(await echo('hi')),
      {},
      { sessionsMax: 2 },
    );
    const clients = [started.client(port), started.client(port)];
    await eventually('both', () => clients.every(({ text }) => text === 'hi'));

    const third = started.client(port);

    await eventually('the end', () => third.isOver);
    expect(third.text).toBe('');
    expect(listener.sessionCount).toBe(2);
  });

  it('lets sessions end when it stops, and cuts the rest', async () => {
    const { port, listener } = await started.streams(tablesTo(await echo('hi')));
    const client = started.client(port);
    const other = started.client(port);
    await eventually('both', () => client.text === 'hi' && other.text === 'hi');

    const drained = listener.drain(300);
    client.socket.end('last words');
    await eventually('the rest', () => client.hasEnded);

    expect(client.text).toBe('hi last words'.replace(' ', ''));
    await drained;
    await eventually('the cut', () => other.isOver);
  });

  it('is closed by a plugin that guards requests and knows nothing of connections', async () => {
    const config = new TestConfig();
    streamRoute(config, await echo('hi'));
    config.plugin('ip-restriction', { allow: ['10.0.0.0/8'] }, { protocols: ['tcp'] });
    const { port, log } = await started.streams(config.tables());
    const client = started.client(port);

    await eventually('the end', () => client.isOver);
    expect(client.text).toBe('');
    expect(log[0]?.session.end).toBe('closed by ip-restriction');
  });

  it('goes by who a trusted proxy says the client is', async () => {
    const tables = tablesTo(await echo('hi'), { sources: [{ ip: '198.51.100.7' }] });
    const listen = { host: '127.0.0.1', port: 0, tls: false, proxyProtocol: true };
    const header = 'PROXY TCP4 198.51.100.7 203.0.113.9 40000 443\r\n';

    const believing = await started.streams(tables, {}, { listen, believesPeer: () => true });
    const client = started.client(believing.port);
    client.socket.write(`${header}and more`);
    await eventually('the echo', () => client.text === 'hiand more');
    client.socket.end();
    await eventually('the log', () => believing.log.length === 1);
    expect(believing.log[0]).toMatchObject({ client_ip: '198.51.100.7', session: { received: 8 } });

    const doubting = await started.streams(tables, {}, { listen });
    const liar = started.client(doubting.port);
    liar.socket.write(header);
    await eventually('the end', () => liar.isOver);
    expect(doubting.log[0]).toMatchObject({ client_ip: '127.0.0.1', session: { end: 'no route' } });

    const silent = started.client(believing.port);
    silent.socket.write('no header');
    await eventually('the end', () => silent.isOver);
    expect(silent.text).toBe('');
  });

  it('is not touched by plugins for requests', async () => {
    const config = new TestConfig();
    streamRoute(config, await echo('hi'));
    config.plugin('key-auth');
    const { port } = await started.streams(config.tables());
    const client = started.client(port);

    await eventually('the greeting', () => client.text === 'hi');
  });
});

describe.skipIf(!hasOpenssl())('a TLS listener', () => {
  const certificate = makeCertificate();

  function tlsClient(port: number, servername?: string): Promise<Client> {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      ...(servername === undefined ? {} : { servername }),
    });
    socket.allowHalfOpen = true;
    started.later(() => void socket.destroy());
    const client = new Client(socket);
    return new Promise((resolve, reject) => {
      socket.once('secureConnect', () => resolve(client));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    });
  }

  async function tlsUpstream(name: string): Promise<{ port: number; names: unknown[] }> {
    const names: unknown[] = [];
    const server = createTlsServer({ ...makeCertificate(), allowHalfOpen: true }, (socket) => {
      names.push((socket as TLSSocket & { servername: unknown }).servername);
      socket.on('error', () => {});
      socket.write(name);
      socket.on('data', (chunk) => socket.write(chunk));
      socket.on('end', () => socket.end());
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    started.later(() => void server.close());
    return { port: (server.address() as AddressInfo).port, names };
  }

  it('ends TLS for a tls route', async () => {
    const config = new TestConfig();
    streamRoute(config, await echo('plain '), {
      protocols: ['tls'],
      snis: ['a.test'],
      sources: null,
    });
    const { port, log } = await started.streams(config.tables(), { tls: certificate });
    const client = await tlsClient(port, 'a.test');

    client.socket.end('question');
    await eventually('the end', () => client.hasEnded);

    expect(client.text).toBe('plain question');
    await eventually('the log', () => log.length === 1);
    expect(log[0]?.session).toMatchObject({
      protocol: 'tls',
      sni: 'a.test',
      received: 8,
      sent: 14,
    });
  });

  it('passes TLS through by the name that is asked for', async () => {
    const config = new TestConfig();
    const [one, two] = [await tlsUpstream('one'), await tlsUpstream('two')];
    const through = { protocols: ['tls_passthrough'], sources: null };
    streamRoute(config, one.port, { ...through, snis: ['one.test'] });
    streamRoute(config, two.port, { ...through, snis: ['*.two.test'] });
    const { port, log } = await started.streams(config.tables(), { tls: certificate });

    const first = await tlsClient(port, 'one.test');
    const second = await tlsClient(port, 'x.two.test');

    await eventually('both', () => first.text === 'one' && second.text === 'two');
    expect(two.names).toEqual(['x.two.test']);
    // Not ours: what the upstream showed is what the client sees.
    const seen = (first.socket as TLSSocket).getPeerX509Certificate();
    expect(seen?.toString()).not.toBe(certificate.cert);
    first.socket.destroy();
    await eventually('the log', () => log.length > 0);
    expect(log[0]?.session).toMatchObject({ protocol: 'tls_passthrough', sni: 'one.test' });
  });

  it('speaks TLS to an upstream that wants it, with the name of the service', async () => {
    const config = new TestConfig();
    const upstream = await tlsUpstream('secret');
    streamRoute(config, upstream.port, {}, { protocol: 'tls', host: 'localhost' });
    const { port } = await started.streams(config.tables());
    const client = started.client(port);

    await eventually('the greeting', () => client.text === 'secret');
    expect(upstream.names).toEqual(['localhost']);
  });

  it('does not connect to an upstream whose certificate it cannot trust, when told to verify', async () => {
    const config = new TestConfig();
    const upstream = await tlsUpstream('secret');
    streamRoute(
      config,
      upstream.port,
      {},
      { protocol: 'tls', host: 'localhost', tls_verify: true },
    );
    const { port, log } = await started.streams(config.tables());
    const client = started.client(port);

    await eventually('the end', () => client.isOver);
    expect(log[0]).toMatchObject({ session: { status: 500 }, tries: [{ state: 'connect' }] });
  });

  it('reads a PROXY header in front of TLS', async () => {
    const config = new TestConfig();
    const route = { protocols: ['tls'], snis: ['a.test'], sources: [{ ip: '198.51.100.7' }] };
    streamRoute(config, await echo('plain'), route);
    const listen = { host: '127.0.0.1', port: 0, tls: true, proxyProtocol: true };
    const { port } = await started.streams(
      config.tables(),
      { tls: certificate },
      { listen, believesPeer: () => true },
    );
    const { socket: raw } = started.client(port);
    raw.removeAllListeners('data');
    raw.write('PROXY TCP4 198.51.100.7 203.0.113.9 40000 443\r\n');
    const socket = connectTls({ socket: raw, servername: 'a.test', rejectUnauthorized: false });
    const client = new Client(socket);

    await eventually('the greeting', () => client.text === 'plain');
  });

  it('takes a ClientHello in pieces of one byte', async () => {
    const config = new TestConfig();
    const upstream = await tlsUpstream('one');
    const through = { protocols: ['tls_passthrough'], sources: null, snis: ['one.test'] };
    streamRoute(config, upstream.port, through);
    const { port } = await started.streams(config.tables(), { tls: certificate });
    // Between client and gateway: cuts everything the client says into single bytes.
    const cutter = await started.tcpUpstream((socket) => {
      const { socket: on } = started.client(port);
      on.setNoDelay(true);
      socket.on('data', (chunk: Buffer) => {
        for (const byte of chunk) on.write(Buffer.from([byte]));
      });
      on.on('data', (chunk) => socket.write(chunk));
    });

    const client = await tlsClient(cutter, 'one.test');

    await eventually('the greeting', () => client.text === 'one');
  });

  it.each([
    ['HTTP', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    [
      'a ClientHello without an end',
      Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), Buffer.alloc(40_000)]),
    ],
  ])('closes on %s', async (_what, bytes) => {
    const { port } = await started.streams(tablesTo(await echo('hi')), { tls: certificate });
    const client = started.client(port);

    client.socket.write(bytes);

    await eventually('the end', () => client.isOver);
    expect(client.text).toBe('');
  });

  it('closes on a client that says nothing, or stops in the middle of its handshake', async () => {
    const tables = tablesTo(await echo('hi'), {
      protocols: ['tls'],
      snis: ['a.test'],
      sources: null,
    });
    const { port, log } = await started.streams(tables, { tls: certificate }, { handshakeMs: 100 });
    const silent = started.client(port);
    const halfway = started.client(port);
    halfway.socket.write(must(await helloOf('a.test'), 'a hello'));

    await eventually('both', () => silent.isOver && halfway.isOver);
    expect(log.map(({ session }) => session.end)).toEqual(['tls handshake']);
  });

  it('closes on a name that no route has', async () => {
    const tables = tablesTo(await echo('hi'), {
      protocols: ['tls'],
      snis: ['a.test'],
      sources: null,
    });
    const { port, log } = await started.streams(tables, { tls: certificate });

    await expect(tlsClient(port, 'b.test')).rejects.toThrow();
    expect(log[0]?.session).toMatchObject({ sni: 'b.test', end: 'no route' });
  });

  async function helloOf(servername: string): Promise<Buffer> {
    let hello: (bytes: Buffer) => void = () => {};
    const bytes = new Promise<Buffer>((resolve) => (hello = resolve));
    const port = await started.tcpUpstream((socket) => socket.once('data', hello));
    const client = connectTls({ host: '127.0.0.1', port, servername });
    client.on('error', () => {});
    started.later(() => void client.destroy());
    return bytes;
  }
});
