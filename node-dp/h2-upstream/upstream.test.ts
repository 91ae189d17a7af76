import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/base/bytes.ts';
import type { BodySink, BodyStream } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import { UpstreamError, type UpstreamRequest } from '#shared/platform/platform.ts';
import { readAll } from '../../test/conformance/transport.suite.ts';
import { makeCertificate } from '../../test/support/certificates.ts';
import { eventually } from '../../test/support/eventually.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { END_HEADERS, END_STREAM, fields, FRAME, frame, uint32 } from '../h2/client.suite.ts';
import { NodeTransport } from '../transport.ts';
import { requestTo, startH2Upstream, startRawUpstream, TestAbort } from './upstream.suite.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function transport(): NodeTransport {
  const made = new NodeTransport();
  closers.push(() => made.close());
  return made;
}

async function upstream(...args: Parameters<typeof startH2Upstream>) {
  const started = await startH2Upstream(...args);
  closers.push(() => started.close());
  return started;
}

async function raw(...args: Parameters<typeof startRawUpstream>) {
  const started = await startRawUpstream(...args);
  closers.push(() => started.close());
  return started;
}

async function failureOf(sent: Promise<unknown>): Promise<UpstreamError> {
  const error: unknown = await sent.catch((reason: unknown) => reason);
  if (!(error instanceof UpstreamError)) throw new Error(`no UpstreamError: ${String(error)}`);
  return error;
}

async function textOf(response: { body: UpstreamRequest['body'] }): Promise<string> {
  return Buffer.from(await readAll(response.body)).toString('latin1');
}

/** A body that the test writes, piece by piece. */
class TestBody implements BodyStream {
  readonly length = null;
  consumed = false;
  isCancelled = false;
  resumed = 0;
  sink: BodySink | null = null;

  pipe(sink: BodySink): void {
    this.consumed = true;
    this.sink = sink;
  }

  resume(): void {
    this.resumed += 1;
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

/** What a sink was given, as it came. */
function collect(body: UpstreamRequest['body']) {
  const got = { text: '', trailers: null as HeaderList | null, end: '' };
  if (body === null || body instanceof Uint8Array) throw new Error('a stream was expected');
  body.pipe({
    write: (chunk) => {
      got.text += Buffer.from(chunk).toString('latin1');
      return true;
    },
    end: (trailers) => {
      got.trailers = trailers;
      got.end = 'whole';
    },
    abort: (error) => (got.end = error.message),
  });
  return got;
}

const OK = frame(FRAME.headers, END_HEADERS, 1, fields([':status', '200']));

describe('a request to an HTTP/2 upstream', () => {
  it('goes out with its fields and comes back with its answer', async () => {
    const { port, requests } = await upstream((stream) => {
      stream.respond([':status', '201', 'x-a', '1', 'set-cookie', 'a', 'set-cookie', 'b']);
      stream.end('hello');
    });
    const headers = new HeaderList([
      'Host',
      'a.test:81',
      'X-A',
      '1',
      'x-a',
      '2',
      'TE',
      'trailers',
      'Connection',
      'close',
      'Expect',
      'a',
      'Keep-Alive',
      '1',
      'Transfer-Encoding',
      'chunked',
      'Content-Length',
      '9',
    ]);

    const response = await transport().send(
      requestTo(port, { method: 'PUT', target: '/p?q=%20', headers, body: utf8('abc') }),
    );

    expect([response.status, await textOf(response)]).toEqual([201, 'hello']);
    expect(response.headers.getAll('set-cookie')).toEqual(['a', 'b']);
    expect(requests[0]?.raw).toEqual([
      ':method',
      'PUT',
      ':scheme',
      'http',
      ':authority',
      'a.test:81',
      ':path',
      '/p?q=%20',
      'x-a',
      '1',
      'x-a',
      '2',
      'te',
      'trailers',
      'content-length',
      '3',
    ]);
  });

  it('has no body where the answer’s head is its end', async () => {
    const { port } = await upstream((stream) =>
      stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true }),
    );

    const response = await transport().send(requestTo(port));

    expect([response.body, response.headers.get('grpc-status')]).toEqual([null, '5']);
  });

  it('brings trailers both ways', async () => {
    let seen: object | null = null;
    const { port } = await upstream((stream) => {
      stream.on('trailers', (trailers) => (seen = { ...trailers }));
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.resume();
      stream.on('end', () => stream.end('abc'));
    });
    const body = new TestBody();
    const response = await transport().send(requestTo(port, { method: 'POST', body }));
    const got = collect(response.body);
    await eventually('the body to be wanted', () => body.sink !== null);

    body.sink?.write(utf8('x'));
    body.sink?.end(new HeaderList(['x-sum', '1', 'Content-Length', '1', 'X-Consumer-ID', 'a']));
    await eventually('the end', () => got.end !== '');

    expect(got).toMatchObject({
      text: 'abc',
      end: 'whole',
      trailers: new HeaderList(['grpc-status', '0']),
    });
    expect(seen).toMatchObject({ 'x-sum': '1' });
    expect(seen).not.toHaveProperty('content-length');
    expect(seen).not.toHaveProperty('x-consumer-id');
  });

  it('flows both ways at once, piece by piece', async () => {
    const { port } = await upstream((stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    const body = new TestBody();
    const response = await transport().send(requestTo(port, { method: 'POST', body }));
    const got = collect(response.body);
    await eventually('the body to be wanted', () => body.sink !== null);

    for (const piece of ['one', 'two', 'three']) {
      const before = got.text;
      body.sink?.write(utf8(piece));
      await eventually(`an echo of ${piece}`, () => got.text === before + piece);
    }
    body.sink?.end(null);
    await eventually('the end', () => got.end === 'whole');
  });

  it('waits, both ways, for who does not read', async () => {
    let sent = 0;
    const { port, requests } = await upstream((stream, path) => {
      stream.respond({ ':status': 200 });
      if (path !== '/down') return;
      const more = (): void => {
        for (let i = 0; i < 1000 && !stream.destroyed; i += 1) {
          sent += 16_384;
          if (!stream.write(Buffer.alloc(16_384))) return void stream.once('drain', more);
        }
      };
      more();
    });
    const client = transport();
    const body = new TestBody();
    const up = await client.send(
      requestTo(port, { method: 'POST', target: '/up', body, writeTimeoutMs: 0 }),
    );
    await eventually('the body to be wanted', () => body.sink !== null);
    let offered = 0;
    while (body.sink?.write(Buffer.alloc(16_384)) === true) offered += 16_384;
    const down = await client.send(requestTo(port, { target: '/down' }));
    await eventually('the upstream to be held up', () => sent > 64 * 1024);

    expect(offered).toBeLessThan(512 * 1024);
    expect(sent).toBeLessThan(1024 * 1024);
    requests[0]?.stream.resume();
    await eventually('the sender to be told', () => body.resumed > 0);
    for (const { body: unread } of [up, down])
      if (unread !== null && !(unread instanceof Uint8Array)) unread.cancel();
  });

  it('ends when the answer is whole, although the request is not', async () => {
    const { port, requests } = await upstream((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '8' }));
      stream.end('no');
    });
    const body = new TestBody();
    const response = await transport().send(requestTo(port, { method: 'POST', body }));
    const got = collect(response.body);
    await eventually('the end', () => got.end !== '');

    expect(got).toMatchObject({
      text: 'no',
      end: 'whole',
      trailers: new HeaderList(['grpc-status', '8']),
    });
    await eventually('the upload to be given up', () => body.isCancelled);
    await eventually('the stream to be over', () => requests[0]?.stream.destroyed);
  });

  it.skipIf(!hasOpenssl())(
    'goes over TLS where the upstream agrees to h2, and nowhere else',
    async () => {
      const tls = {
        serverName: 'a.test',
        verify: false,
        verifyDepth: null,
        ca: null,
        clientCertificate: null,
      };
      const { port } = await upstream(
        (stream) => {
          stream.respond({ ':status': 200 });
          stream.end(stream.session?.alpnProtocol);
        },
        { tls: makeCertificate() },
      );
      const client = transport();

      expect(await textOf(await client.send(requestTo(port, { scheme: 'https', tls })))).toBe('h2');
    },
  );
});

describe('connections to an HTTP/2 upstream', () => {
  it('are shared by requests, and opened beyond what one takes', async () => {
    const { port, sessions, requests } = await upstream(
      (stream, path) => {
        if (path === '/hold') return;
        stream.respond({ ':status': 200 });
        stream.end('ok');
      },
      { settings: { maxConcurrentStreams: 10 } },
    );
    const client = transport();
    await textOf(await client.send(requestTo(port)));
    const held = Array.from({ length: 25 }, () =>
      failureOf(client.send(requestTo(port, { target: '/hold' }))),
    );
    await eventually('all to be there', () => requests.length === 26);

    expect(sessions.length).toBe(3);
    client.close();
    expect((await Promise.all(held)).map(({ failure }) => failure)).toEqual(
      Array.from({ length: 25 }, () => 'reset'),
    );
  });

  it('are no more than the bound: what finds no place in time is not processed', async () => {
    const { port, sessions, requests } = await upstream(() => {}, {
      settings: { maxConcurrentStreams: 1 },
    });
    const client = transport();
    const failures = Array.from({ length: 20 }, () =>
      failureOf(client.send(requestTo(port, { connectTimeoutMs: 300, readTimeoutMs: 2000 }))),
    );
    const settled = await Promise.all(failures);

    const without = settled.filter(({ failure }) => failure === 'connect_timeout');
    expect(sessions.length).toBe(16);
    expect(requests.length).toBe(16);
    expect(without).toHaveLength(4);
    expect(without.every(({ maybeProcessed }) => !maybeProcessed)).toBe(true);
  });

  it('that the upstream closes are not used again, and what it did not take is not processed', async () => {
    const { port, sessions } = await upstream((stream) => {
      stream.respond({ ':status': 200 });
      stream.end('ok');
    });
    const client = transport();
    for (let i = 0; i < 3; i += 1) {
      expect(await textOf(await client.send(requestTo(port)))).toBe('ok');
      const [session] = sessions.splice(0);
      expect(session).toBeDefined();
      session?.close();
      await eventually('the connection to be gone', () => session?.destroyed);
    }
  });

  it.each<[string, (socket: Socket) => void]>([
    ['with a word', (socket) => socket.write(frame(FRAME.goaway, 0, 0, uint32(0, 0)))],
    ['without one', (socket) => socket.end()],
  ])(
    'are not opened over and over when the upstream greets and leaves %s',
    async (_name, leave) => {
      const none = Buffer.concat([Buffer.from([0, 3]), uint32(0)]);
      const { port, sockets } = await raw((one, socket) => {
        if (one.type !== FRAME.settings || one.flags !== 0) return;
        socket.write(frame(FRAME.settings, 0, 0, none));
        leave(socket);
      }, false);
      const client = transport();

      const failures = await Promise.all(
        [1, 2, 3].map(() => failureOf(client.send(requestTo(port)))),
      );

      expect(failures.map(({ failure }) => failure)).toEqual(['connect', 'connect', 'connect']);
      expect(failures.some(({ maybeProcessed }) => maybeProcessed)).toBe(false);
      expect(sockets.length).toBeLessThanOrEqual(3);
    },
  );

  it.each([
    ['refuses it', (id: number) => frame(FRAME.reset, 0, id, uint32(7))],
    ['goes away before it', (_id: number) => frame(FRAME.goaway, 0, 0, uint32(0, 0))],
  ])('leave a request unprocessed when the upstream %s', async (_name, answer) => {
    const { port } = await raw((one, socket) => {
      if (one.type === FRAME.headers) socket.write(answer(one.stream));
    });

    expect(await failureOf(transport().send(requestTo(port)))).toMatchObject({
      failure: 'reset',
      maybeProcessed: false,
    });
  });

  it.each<[string, (id: number) => Buffer, string]>([
    ['resets it', (id) => frame(FRAME.reset, 0, id, uint32(2)), 'reset'],
    ['resets it without a complaint', (id) => frame(FRAME.reset, 0, id, uint32(0)), 'reset'],
    ['goes away behind it, in error', () => frame(FRAME.goaway, 0, 0, uint32(1, 2)), 'reset'],
    [
      'answers without a status',
      (id) => frame(FRAME.headers, END_HEADERS, id, fields(['x-a', '1'])),
      'invalid_response',
    ],
    [
      'answers with 101',
      (id) => frame(FRAME.headers, END_HEADERS, id, fields([':status', '101'])),
      'invalid_response',
    ],
    ['says what is no frame', () => Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), 'reset'],
    [
      'answers 100 for ever',
      (id) =>
        Buffer.concat(
          Array.from({ length: 40 }, () =>
            frame(FRAME.headers, END_HEADERS, id, fields([':status', '103'])),
          ),
        ),
      'invalid_response',
    ],
  ])('may have had a request processed when the upstream %s', async (_name, answer, failure) => {
    const { port } = await raw((one, socket) => {
      if (one.type === FRAME.headers) socket.write(answer(one.stream));
    });

    expect(await failureOf(transport().send(requestTo(port)))).toMatchObject({
      failure,
      maybeProcessed: true,
    });
  });

  it.each<[string, Buffer]>([
    ['resets it', frame(FRAME.reset, 0, 1, uint32(2))],
    ['resets it without a complaint', frame(FRAME.reset, 0, 1, uint32(0))],
    ['vanishes', Buffer.alloc(0)],
  ])('break a body off, and never end it, when the upstream %s', async (_name, after) => {
    const { port, sockets } = await raw((one, socket) => {
      if (one.type !== FRAME.headers) return;
      socket.write(Buffer.concat([OK, frame(FRAME.data, 0, 1, Buffer.from('half'))]));
    });
    const response = await transport().send(requestTo(port));
    const got = collect(response.body);
    await eventually('half of it', () => got.text === 'half');

    if (after.length > 0) sockets[0]?.write(after);
    else sockets[0]?.destroy();
    await eventually('the end', () => got.end !== '');

    expect(got).toMatchObject({ text: 'half', end: 'upstream reset' });
  });

  it('break a body off that is shorter than its length', async () => {
    const { port } = await raw((one, socket) => {
      if (one.type !== FRAME.headers) return;
      const head = frame(
        FRAME.headers,
        END_HEADERS,
        1,
        fields([':status', '200'], ['content-length', '9']),
      );
      socket.write(Buffer.concat([head, frame(FRAME.data, END_STREAM, 1, Buffer.from('half'))]));
    });
    const sent = transport().send(requestTo(port));
    const outcome = await sent
      .then((response) => textOf(response))
      .catch((error: Error) => error.message);

    expect(outcome).toMatch(/^upstream (reset|invalid_response)$/);
  });

  it.each<[string, (socket: { write(bytes: string): unknown }) => void]>([
    ['speaks HTTP/1.1', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['says nothing', () => {}],
  ])('cannot be made to what %s, and nothing is processed', async (_name, speak) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => speak(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    const { port } = server.address() as { port: number };
    const body = new TestBody();

    const error = await failureOf(
      transport().send(requestTo(port, { method: 'POST', body, connectTimeoutMs: 200 })),
    );

    expect(error.maybeProcessed).toBe(false);
    expect(['connect', 'connect_timeout']).toContain(error.failure);
    expect(body.consumed).toBe(false);
  });

  it('cannot be made where nobody listens', async () => {
    const { port, close } = await startH2Upstream(() => {});
    close();

    expect(await failureOf(transport().send(requestTo(port)))).toMatchObject({
      failure: 'connect',
      maybeProcessed: false,
    });
  });
});

describe('a stream to an HTTP/2 upstream', () => {
  it('is reset when the client goes away', async () => {
    const { port, requests } = await upstream(() => {});
    const abort = new TestAbort();
    const failed = failureOf(transport().send(requestTo(port, { abort })));
    await eventually('the request', () => requests.length === 1);

    abort.fire();

    expect(await failed).toMatchObject({ failure: 'aborted', maybeProcessed: true });
    await eventually('the reset', () => requests[0]?.stream.rstCode === 8);
  });

  it('is not begun for a client that goes away while it waits for a connection', async () => {
    const { port, requests } = await upstream(() => {}, { settings: { maxConcurrentStreams: 1 } });
    const client = transport();
    const abort = new TestAbort();
    const waiting = failureOf(client.send(requestTo(port, { abort })));

    abort.fire();

    expect(await waiting).toMatchObject({ failure: 'aborted', maybeProcessed: false });
    expect(requests).toHaveLength(0);
  });

  it('is given up after silence, with its connection', async () => {
    const { port, requests, sessions } = await upstream((stream, path) => {
      if (path === '/ok') stream.respond({ ':status': 200 }, { endStream: true });
    });
    const client = transport();

    expect(await failureOf(client.send(requestTo(port, { readTimeoutMs: 100 })))).toMatchObject({
      failure: 'read_timeout',
      maybeProcessed: true,
    });
    await eventually('the reset', () => requests[0]?.stream.rstCode === 8);
    expect((await client.send(requestTo(port, { target: '/ok' }))).status).toBe(200);
    expect(sessions).toHaveLength(2);
  });

  it('is not given up while anything moves, either way', async () => {
    const { port, requests } = await upstream((stream) => stream.respond({ ':status': 200 }));
    const body = new TestBody();
    const response = await transport().send(
      requestTo(port, { method: 'POST', body, readTimeoutMs: 250 }),
    );
    const got = collect(response.body);
    await eventually('the body to be wanted', () => body.sink !== null);
    const from = performance.now();

    const timer = setInterval(() => body.sink?.write(utf8('x')), 50);
    await eventually('three silences', () => performance.now() - from > 750);
    clearInterval(timer);
    expect(got.end).toBe('');
    const more = setInterval(() => requests[0]?.stream.write('y'), 50);
    await eventually('six silences', () => performance.now() - from > 1500);
    clearInterval(more);
    expect(got.end).toBe('');
    await eventually('the end', () => got.end === 'upstream read_timeout');
  });

  it('is given up when the upstream takes nothing of a body', async () => {
    const { port } = await upstream(() => {});
    const body = new TestBody();
    const failed = failureOf(
      transport().send(requestTo(port, { method: 'POST', body, writeTimeoutMs: 100 })),
    );
    await eventually('the body to be wanted', () => body.sink !== null);

    while (body.sink?.write(Buffer.alloc(16_384)) === true);

    expect(await failed).toMatchObject({ failure: 'write_timeout', maybeProcessed: true });
    expect(body.isCancelled).toBe(true);
  });
});
