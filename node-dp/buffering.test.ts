import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { TestConfig } from '../test/support/builders.ts';
import { eventually } from '../test/support/eventually.ts';
import { Started } from './gateway.suite.ts';
import { openH2, sendH2 } from './h2/client.suite.ts';
import { startH2Upstream } from './h2-upstream/upstream.suite.ts';
import { sendRaw } from './raw-client.suite.ts';

const started = new Started();
const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await started.close();
});

const H2C = { listen: { host: '127.0.0.1', port: 0, tls: false, http2: true } };

async function gatewayTo(
  port: number,
  route: JsonObject = {},
  service: JsonObject = {},
  options: { bodyIdleMs?: number } = {},
) {
  const config = new TestConfig();
  const { id } = config.service({ host: '127.0.0.1', port, retries: 0, ...service });
  config.route({ paths: ['/'], service: { id }, ...route });
  return started.gateway(config.tables(), { ...H2C, ...options });
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

describe('a request body', () => {
  it('is read before the upstream is bothered, and has a length then', async () => {
    const upstream = await started.upstream((socket) => socket.write(OK));
    const { port } = await gatewayTo(upstream.port);
    const client = connect({ host: '127.0.0.1', port });
    let answer = '';
    client.on('data', (bytes: Buffer) => (answer += bytes.toString()));
    client.write(POST + chunk('hello '));
    // Served meanwhile: so much time has passed for sure.
    expect((await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(200);
    expect(upstream.text).not.toContain('POST');

    client.write(`${chunk('world')}0\r\n\r\n`);
    await eventually('an answer', () => answer.endsWith('ok'));

    expect(upstream.text).toMatch(/POST \/ HTTP\/1\.1[^]*content-length: 11\r\n\r\nhello world$/i);
    client.destroy();
  });

  it('goes on as it comes where the route wants it so', async () => {
    const upstream = await started.upstream((socket, text) => {
      if (text.includes('world')) socket.write(OK);
    });
    const { port } = await gatewayTo(upstream.port, { request_buffering: false });
    const client = connect({ host: '127.0.0.1', port });
    let answer = '';
    client.on('data', (bytes: Buffer) => (answer += bytes.toString()));
    client.write(POST + chunk('hello '));
    await eventually('the first piece', () => upstream.text.includes('hello '));

    client.write(`${chunk('world')}0\r\n\r\n`);
    await eventually('an answer', () => answer.endsWith('ok'));

    expect(upstream.text).toMatch(/transfer-encoding: chunked/i);
    client.destroy();
  });

  it('is sent again where that is safe', async () => {
    let asked = 0;
    const upstream = await started.upstream((socket, text) => {
      if (!text.includes('hello')) return;
      asked += 1;
      if (asked === 1) socket.resetAndDestroy();
      else socket.write(OK);
    });
    const { port } = await gatewayTo(upstream.port, {}, { retries: 1 });

    const answer = await sendRaw(port, POST.replace('POST', 'PUT'), chunk('hello'), '0\r\n\r\n');

    expect(answer.status).toBe(200);
    expect(upstream.text.match(/hello/g)).toHaveLength(2);
  });

  it('that is too large to be held is streamed, whole', async () => {
    const upstream = await started.upstream((socket, text) => {
      if (text.endsWith('0\r\n\r\n')) socket.write(OK);
    });
    const { port } = await gatewayTo(upstream.port);
    const piece = 'x'.repeat(50_000);

    const answer = await sendRaw(
      port,
      POST,
      ...Array.from({ length: 60 }, () => chunk(piece)),
      '0\r\n\r\n',
    );

    expect(answer.status).toBe(200);
    expect(upstream.text.match(/x/g)).toHaveLength(60 * 50_000);
  });

  it.each([
    ['falls silent', 408],
    ['goes away', 0],
  ])('whose client %s never gets to the upstream', async (how, status) => {
    const upstream = await started.upstream((socket) => socket.write(OK));
    const { port, listener } = await gatewayTo(upstream.port, {}, {}, { bodyIdleMs: 100 });
    if (status === 0) {
      const client = connect({ host: '127.0.0.1', port });
      client.write(POST + chunk('hello'));
      await eventually('a request', () => listener.inFlight === 1);
      client.destroy();
    } else expect((await sendRaw(port, POST, chunk('hello'))).status, how).toBe(status);

    await eventually('nothing in flight', () => listener.inFlight === 0);
    expect(upstream.connections).toHaveLength(0);
  });
});

const SSE =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

describe('events of a server', () => {
  it.each([
    ['buffered', true],
    ['not buffered', false],
  ])(
    'arrive one by one, over either version of HTTP, on a route that is %s',
    async (_how, response_buffering) => {
      const sockets: { write(text: string): unknown }[] = [];
      const upstream = await started.upstream((socket) => {
        sockets.push(socket);
        socket.write(SSE + chunk('data: 0\n\n'));
      });
      const { port } = await gatewayTo(upstream.port, { response_buffering });
      const old = connect({ host: '127.0.0.1', port });
      let heard1 = '';
      old.on('data', (bytes: Buffer) => (heard1 += bytes.toString()));
      old.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const session = await openH2(`http://127.0.0.1:${port}`);
      const stream = session.request({});
      let heard2 = '';
      stream.on('data', (bytes: Buffer) => (heard2 += bytes.toString()));

      for (let i = 0; i < 3; i += 1) {
        const event = `data: ${i}\n\n`;
        await eventually(`event ${i}`, () => heard1.includes(event) && heard2.endsWith(event));
        for (const socket of sockets) socket.write(chunk(`data: ${i + 1}\n\n`));
      }
      old.destroy();
      session.destroy();
    },
  );
});

const WITH_TRAILERS = [
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, set-cookie\r\n\r\n',
  '3\r\nabc\r\n0\r\nx-sum: 3\r\nset-cookie: a=b\r\nx-consumer-id: a\r\n\r\n',
].join('');

describe('trailers', () => {
  it('of an HTTP/1.1 upstream reach who asks for them, in either version', async () => {
    const upstream = await started.upstream((socket) => socket.write(WITH_TRAILERS));
    const { port } = await gatewayTo(upstream.port);
    const session = await openH2(`http://127.0.0.1:${port}`);

    const asked1 = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n');
    const unasked1 = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const asked2 = await sendH2(session, { te: 'trailers' });
    const unasked2 = await sendH2(session, {});

    expect(asked1.text).toMatch(/Trailer: x-sum/i);
    expect(asked1.text).toMatch(/3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n$/);
    expect(upstream.text).toMatch(/TE: trailers/i);
    expect(unasked1.text).not.toMatch(/x-sum/i);
    expect([asked2.text, unasked2.text]).toEqual(['abc', 'abc']);
    expect(Object.entries(asked2.trailers ?? {})).toEqual([['x-sum', '3']]);
    expect([unasked2.trailers, unasked2.headers['trailer']]).toEqual([null, undefined]);
    session.destroy();
  });

  it('of an HTTP/2 upstream reach a client of HTTP/1.1', async () => {
    const upstream = await startH2Upstream((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '3' }));
      stream.end('abc');
    });
    closers.push(() => upstream.close());
    const { port } = await gatewayTo(upstream.port, {}, { protocol: 'grpc' });

    const answer = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n');

    expect(answer.text).toMatch(/3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n$/);
  });

  it('of a request reach an HTTP/2 upstream, from either version', async () => {
    const seen: string[] = [];
    const upstream = await startH2Upstream((stream) => {
      stream.on('trailers', (trailers) => seen.push(String(trailers['x-sum'])));
      stream.resume();
      stream.on('end', () => {
        stream.respond({ ':status': 200 });
        stream.end('ok');
      });
    });
    closers.push(() => upstream.close());
    const { port } = await gatewayTo(upstream.port, {}, { protocol: 'grpc' });

    const answer = await sendRaw(
      port,
      `${POST}3\r\nabc\r\n0\r\nX-Sum: 3\r\nX-Consumer-ID: a\r\n\r\n`,
    );

    expect(answer.status).toBe(200);
    expect(seen).toEqual(['3']);
  });
});

describe('a client of HTTP/1.0', () => {
  it('gets a body of unknown length up to the end of the connection, without chunks or trailers', async () => {
    const upstream = await started.upstream((socket) => socket.write(WITH_TRAILERS));
    const { port } = await gatewayTo(upstream.port);

    const answer = await sendRaw(port, 'GET / HTTP/1.0\r\nTE: trailers\r\nConnection: TE\r\n\r\n');

    expect(answer).toMatchObject({ status: 200, closed: true });
    expect(answer.text).not.toMatch(/transfer-encoding|x-sum: 3/i);
    expect(answer.text.endsWith('\r\n\r\nabc')).toBe(true);
  });

  it('keeps its connection only where it asks to and the length is known', async () => {
    const upstream = await started.upstream((socket) => socket.write(OK));
    const { port } = await gatewayTo(upstream.port);

    const kept = await sendRaw(port, 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const closed = await sendRaw(port, 'GET / HTTP/1.0\r\n\r\n');

    expect([kept.status, kept.closed]).toEqual([200, false]);
    expect(kept.text).toMatch(/Connection: keep-alive/);
    expect([closed.status, closed.closed]).toEqual([200, true]);
  });
});

describe('an HTTP/1.1 upstream', () => {
  it('is reached by clients of HTTP/2, with a body too', async () => {
    const upstream = await started.upstream((socket, text) => {
      if (text.endsWith('hello')) socket.write(OK);
    });
    const { port } = await gatewayTo(upstream.port);
    const session = await openH2(`http://127.0.0.1:${port}`);

    const answer = await sendH2(
      session,
      { ':method': 'POST', ':path': '/p?q', ':authority': 'a.test' },
      ['hel', 'lo'],
    );

    expect(answer).toMatchObject({ status: 200, text: 'ok' });
    expect(answer.headers['connection']).toBeUndefined();
    expect(upstream.text).toMatch(/^POST \/p\?q HTTP\/1\.1\r\n/);
    expect(upstream.text).toMatch(/X-Forwarded-Host: a\.test\r\n/);
    expect(upstream.text).not.toMatch(/:authority|:method/);
    session.destroy();
  });
});
