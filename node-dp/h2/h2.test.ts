import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/base/bytes.ts';
import type { BodySink, BodyStream } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import { eventually } from '../../test/support/eventually.ts';
import { sendRaw } from '../raw-client.suite.ts';
import {
  END_HEADERS,
  END_STREAM,
  fields,
  FRAME,
  frame,
  get,
  openH2,
  post,
  RawH2,
  sendH2,
  uint32,
} from './client.suite.ts';
import { closeAfterEach, drained, ok, start } from './h2.suite.ts';

closeAfterEach();

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

describe('a request over HTTP/2', () => {
  it('is handed over as it came', async () => {
    const { url, seen, port, outcomes } = await start();
    const session = await openH2(url);

    const answer = await sendH2(session, [
      ':method',
      'GET',
      ':scheme',
      'http',
      ':path',
      '/a/../%41?x=1&x=2',
      ':authority',
      'A.b:80',
      'x-a',
      '1',
      'x-a',
      '2',
      'cookie',
      'a=1',
      'cookie',
      'b=2',
      'te',
      'trailers',
    ]);

    expect(answer).toMatchObject({ status: 200, text: 'hello', code: 0, trailers: null });
    expect(answer.headers['x-from']).toBe('gateway');
    expect(seen).toHaveLength(1);
    const [request] = seen;
    expect(request?.target).toBe('/a/../%41?x=1&x=2');
    expect(request?.headers.raw).toEqual([
      'x-a',
      '1',
      'x-a',
      '2',
      'cookie',
      'a=1; b=2',
      'te',
      'trailers',
      'host',
      'A.b:80',
    ]);
    expect([request?.scheme, request?.httpVersion, request?.body]).toEqual(['http', '2', null]);
    expect([request?.peerAddress, request?.localPort]).toEqual(['127.0.0.1', port]);
    expect(outcomes).toEqual([{ complete: true, bytesSent: 5 }]);
    session.destroy();
  });

  it.each<[string, Buffer, number]>([
    ['CONNECT', fields([':method', 'CONNECT'], [':authority', 'a:443']), 405],
    [
      'a lower-case method',
      fields([':method', 'get'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']),
      400,
    ],
    [
      'a method that nobody knows',
      fields([':method', 'FETCH'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']),
      400,
    ],
    [
      'an asterisk',
      fields([':method', 'OPTIONS'], [':scheme', 'http'], [':path', '*'], [':authority', 'a']),
      400,
    ],
    ['a Host of another name', get('/', [['host', 'b']]), 400],
    [
      'two Authorizations',
      get('/', [
        ['authorization', 'a'],
        ['authorization', 'b'],
      ]),
      400,
    ],
    [
      'two Content-Types',
      get('/', [
        ['content-type', 'a'],
        ['content-type', 'b'],
      ]),
      400,
    ],
    ['an odd expectation', get('/', [['expect', 'y 100-continue']]), 417],
    ['a long target', get(`/${'a'.repeat(8192)}`), 414],
    [
      'too many fields',
      get(
        '/',
        Array.from({ length: 101 }, (_, i) => [`x-${i}`, '1'] as const),
      ),
      400,
    ],
  ])('is refused without asking the gateway: %s', async (_name, head, status) => {
    const { port, seen, statuses } = await start();
    const raw = new RawH2(port);

    raw.write(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, head));
    await eventually('an answer', () =>
      raw.frames.some(({ type, stream }) => type === FRAME.data && stream === 1),
    );

    expect(statuses).toEqual([status]);
    const data = raw.frames.filter(({ type }) => type === FRAME.data);
    expect(Buffer.concat(data.map(({ payload }) => payload)).toString()).toMatch(
      /request_id: [0-9a-f]{32}/,
    );
    expect(seen).toHaveLength(0);
    raw.socket.destroy();
  });

  it.each<[string, Buffer]>([
    ['Connection', get('/', [['connection', 'close']])],
    ['Keep-Alive', get('/', [['keep-alive', '1']])],
    ['Proxy-Connection', get('/', [['proxy-connection', 'close']])],
    ['Upgrade', get('/', [['upgrade', 'h2c']])],
    ['Transfer-Encoding', post('/', [['transfer-encoding', 'chunked']])],
    ['TE other than trailers', get('/', [['te', 'gzip']])],
    ['an upper-case name', get('/', [['X-A', '1']])],
    ['a pseudo-header field behind others', Buffer.concat([fields(['x-a', '1']), get()])],
    ['an unknown pseudo-header field', get('/', [[':x', '1']])],
    ['a repeated pseudo-header field', get('/', [[':path', '/b']])],
    ['a response’s pseudo-header field', get('/', [[':status', '200']])],
    ['no :path', fields([':method', 'GET'], [':scheme', 'http'], [':authority', 'a'])],
    ['an empty :path', get('')],
    ['no authority', fields([':method', 'GET'], [':scheme', 'http'], [':path', '/'])],
    [
      'an authority with userinfo',
      fields([':method', 'GET'], [':scheme', 'http'], [':path', '/'], [':authority', 'u@a']),
    ],
    ['no :method', fields([':scheme', 'http'], [':path', '/'], [':authority', 'a'])],
    ['no :scheme', fields([':method', 'GET'], [':path', '/'], [':authority', 'a'])],
    [
      'extended CONNECT',
      fields(
        [':method', 'CONNECT'],
        [':protocol', 'websocket'],
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', 'a'],
      ),
    ],
  ])('is reset as malformed: %s', async (_name, head) => {
    const { port, seen } = await start();
    const raw = new RawH2(port);

    raw.write(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, head));
    await eventually('a reset', () => raw.resetCode(1) !== null || raw.hasGoaway);

    expect(raw.resetCode(1) ?? raw.goawayCode).toBe(1);
    expect(seen).toHaveLength(0);
    raw.socket.destroy();
  });

  it.each([
    ['a line feed in a value', 'x-a', '1\n2'],
    ['a NUL in a value', 'x-a', '1\x002'],
    ['a colon in a name', 'x:a', '1'],
    ['an empty name', '', '1'],
  ])('loses a field that cannot be one: %s', async (_name, name, value) => {
    const { port, seen } = await start();
    const raw = new RawH2(port);
    const head = get('/', [
      [name, value],
      ['x-b', '2'],
    ]);

    raw.write(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, head));
    await eventually('a request', () => seen.length === 1);

    expect(seen[0]?.headers.raw).toEqual(['x-b', '2', 'host', 'a']);
    raw.socket.destroy();
  });

  it('is not whole when its body is not as long as it says', async () => {
    const read: string[] = [];
    const { port, seen } = await start(async (request, outcomes) => {
      read.push((await drained(request)).text);
      return ok(outcomes);
    });
    const raw = new RawH2(port);

    raw.write(frame(FRAME.headers, END_HEADERS, 1, post('/', [['content-length', '100000']])));
    await eventually('a request', () => seen.length === 1);
    raw.write(frame(FRAME.data, END_STREAM, 1, Buffer.from('abc')));
    await eventually('a reset', () => raw.resetCode(1) !== null);

    expect(raw.resetCode(1)).toBe(1);
    await eventually('the body to be broken off', () => read.length === 1);
    expect(read).toEqual(['broken off: ClientGoneError']);
    raw.socket.destroy();
  });

  it.each([0, 8])(
    'is broken off by a reset with code %i in its body, never ended',
    async (code) => {
      const read: string[] = [];
      const { port, outcomes, listener } = await start(async (request, ended) => {
        read.push((await drained(request)).text);
        return ok(ended);
      });
      const raw = new RawH2(port);

      raw.write(
        frame(FRAME.headers, END_HEADERS, 1, post()),
        frame(FRAME.data, 0, 1, Buffer.from('abc')),
      );
      await eventually('a request', () => listener.inFlight === 1);
      raw.write(frame(FRAME.reset, 0, 1, uint32(code)));
      await eventually('an outcome', () => outcomes.length === 1);

      expect(read).toEqual(['broken off: ClientGoneError']);
      expect(outcomes).toEqual([{ complete: false, bytesSent: 0 }]);
      expect(listener.inFlight).toBe(0);
      raw.socket.destroy();
    },
  );

  it('brings a short body whole and a long one as a stream', async () => {
    const { url, seen } = await start(async (request, outcomes) =>
      ok(outcomes, { body: utf8((await drained(request)).text.length.toString()) }),
    );
    const session = await openH2(url);

    const short = await sendH2(session, { ':method': 'POST', 'content-length': '6' }, [
      'abc',
      'def',
    ]);
    const long = await sendH2(
      session,
      { ':method': 'POST' },
      Array.from({ length: 40 }, () => 'x'.repeat(10_000)),
    );

    expect([short.text, long.text]).toEqual(['6', '400000']);
    expect(seen[0]?.body).toBeInstanceOf(Uint8Array);
    expect(seen[1]?.body).not.toBeInstanceOf(Uint8Array);
    session.destroy();
  });

  it('brings its trailers', async () => {
    let trailers: HeaderList | null = null;
    const { url } = await start(async (request, outcomes) => {
      ({ trailers } = await drained(request));
      return ok(outcomes);
    });
    const session = await openH2(url);
    const stream = session.request({ ':method': 'POST' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': ['1', '2'] }));
    stream.end('abc');
    stream.resume();
    await once(stream, 'close');

    expect(trailers).toEqual(new HeaderList(['x-sum', '1', 'x-sum', '2']));
    session.destroy();
  });

  it('gets 100 Continue when somebody wants its body, and not otherwise', async () => {
    const { url } = await start(async (request, outcomes) =>
      request.target === '/no'
        ? ok(outcomes, { status: 401 })
        : ok(outcomes, { body: utf8((await drained(request)).text) }),
    );
    const session = await openH2(url);
    const ask = async (path: string) => {
      const stream = session.request(
        { ':method': 'POST', ':path': path, expect: '100-continue' },
        { endStream: false },
      );
      const said: string[] = [];
      stream.on('continue', () => {
        said.push('100');
        stream.end('abc');
      });
      stream.on('response', (headers) => said.push(String(headers[':status'])));
      stream.resume();
      await once(stream, 'close');
      return said;
    };

    expect(await ask('/yes')).toEqual(['100', '200']);
    expect(await ask('/no')).toEqual(['401']);
    session.destroy();
  });

  it('is given up when it falls silent in the middle of its body', async () => {
    const { url } = await start(
      async (request, outcomes) => {
        await drained(request);
        return ok(outcomes);
      },
      { bodyIdleMs: 60 },
    );
    const session = await openH2(url);
    const silent = (headers: object) => {
      const stream = session.request({ ':method': 'POST', ...headers }, { endStream: false });
      stream.write('ab');
      stream.resume();
      return once(stream, 'response').then(([head]) => (head as { ':status': number })[':status']);
    };

    expect(await silent({ 'content-length': '5' })).toBe(408);
    expect(await silent({ 'content-length': '100000' })).toBe(408);
    expect(await silent({})).toBe(408);
    session.destroy();
  });
});

describe('an answer over HTTP/2', () => {
  it('carries none of the fields of HTTP/1.1 connections', async () => {
    const headers = new HeaderList([
      'Content-Length',
      '999',
      'Connection',
      'x-a',
      'Transfer-Encoding',
      'chunked',
      'Keep-Alive',
      'a',
      'Upgrade',
      'b',
      'Proxy-Connection',
      'c',
      'X-A',
      '1',
      'Set-Cookie',
      'a',
      'Set-Cookie',
      'b',
    ]);
    const { url } = await start((_request, outcomes) => ok(outcomes, { headers }));
    const session = await openH2(url);

    const answer = await sendH2(session, {});

    expect(Object.keys(answer.headers).toSorted()).toEqual([
      ':status',
      'content-length',
      'date',
      'set-cookie',
      'x-a',
    ]);
    expect(answer.headers['content-length']).toBe('5');
    expect(answer.headers['set-cookie']).toEqual(['a', 'b']);
    session.destroy();
  });

  it('has no body for HEAD and 304 and keeps the length', async () => {
    const headers = new HeaderList(['Content-Length', '1234']);
    const { url, outcomes } = await start((request, ended) =>
      ok(ended, { headers, body: null, status: request.method === 'HEAD' ? 200 : 304 }),
    );
    const session = await openH2(url);

    const head = await sendH2(session, { ':method': 'HEAD' });
    const unchanged = await sendH2(session, {});

    expect([head.status, head.headers['content-length'], head.text]).toEqual([200, '1234', '']);
    expect([unchanged.status, unchanged.headers['content-length']]).toEqual([304, '1234']);
    expect(outcomes.map(({ complete }) => complete)).toEqual([true, true]);
    session.destroy();
  });

  it('brings trailers to who asks for them, and none that may not be', async () => {
    const trailers = new HeaderList([
      'grpc-status',
      '0',
      'Content-Length',
      '3',
      'X-Consumer-ID',
      'a',
      'x-b',
      '1',
      'x-b',
      '2',
    ]);
    const { url } = await start((_request, outcomes) => {
      const body = new TestBody();
      setImmediate(() => {
        body.sink?.write(utf8('abc'));
        body.sink?.end(trailers);
      });
      return ok(outcomes, { body });
    });
    const session = await openH2(url);

    const asked = await sendH2(session, { te: 'trailers' });
    const unasked = await sendH2(session, {});

    expect(Object.entries(asked.trailers ?? {})).toEqual([
      ['grpc-status', '0'],
      ['x-b', '1, 2'],
    ]);
    expect([asked.text, unasked.text, unasked.trailers]).toEqual(['abc', 'abc', null]);
    session.destroy();
  });

  it('arrives piece by piece, and waits for a client that does not read', async () => {
    const body = new TestBody();
    const { url, outcomes } = await start((_request, ended) => ok(ended, { body }));
    const session = await openH2(url);
    const stream = session.request({});
    await once(stream, 'response');

    body.sink?.write(utf8('first'));
    const [first] = (await once(stream, 'data')) as [Buffer];
    stream.pause();
    let sent = 0;
    while (body.sink?.write(Buffer.alloc(16 * 1024)) === true) sent += 16 * 1024;

    expect(first.toString()).toBe('first');
    expect(sent).toBeLessThan(512 * 1024);
    stream.resume();
    await eventually('the sender to be told to go on', () => body.resumed > 0);
    body.sink?.end(null);
    await once(stream, 'close');
    expect(outcomes[0]?.complete).toBe(true);
    session.destroy();
  });

  it('that breaks off upstream is never a clean end', async () => {
    const body = new TestBody();
    const { url, outcomes } = await start((_request, ended) => ok(ended, { body }));
    const session = await openH2(url);
    const pending = sendH2(session, {});
    await eventually('a body', () => body.sink !== null);

    body.sink?.write(utf8('half'));
    body.sink?.abort(new Error('gone'));

    expect((await pending).code).toBe(2);
    expect(outcomes).toEqual([{ complete: false, bytesSent: 4 }]);
    session.destroy();
  });

  it('to a client that goes away is cancelled, and the gateway is told', async () => {
    const body = new TestBody();
    let aborted = 0;
    const { url, outcomes, listener } = await start((request, ended) => {
      request.abort.onAbort(() => (aborted += 1));
      return ok(ended, { body });
    });
    const session = await openH2(url);
    const stream = session.request({});
    await once(stream, 'response');

    stream.close(8);
    await eventually('the outcome', () => outcomes.length === 1);

    expect([aborted, body.isCancelled, listener.inFlight]).toEqual([1, true, 0]);
    expect(outcomes[0]?.complete).toBe(false);
    session.destroy();
  });

  it('can come before the request’s end, whose rest nobody wants', async () => {
    const { url, outcomes } = await start((_request, ended) => ok(ended, { status: 413 }));
    const session = await openH2(url);
    const stream = session.request({ ':method': 'POST' }, { endStream: false });
    stream.write('abc');
    stream.resume();
    const [head] = (await once(stream, 'response')) as [{ ':status': number }];
    await once(stream, 'close');

    expect([head[':status'], stream.rstCode]).toEqual([413, 0]);
    expect(outcomes[0]?.complete).toBe(true);
    expect((await sendH2(session, {})).status).toBe(413);
    session.destroy();
  });

  it('with a field that cannot be sent is a 500', async () => {
    const headers = new HeaderList(['x y', '1']);
    const { url } = await start((_request, outcomes) => ok(outcomes, { headers }));
    const session = await openH2(url);

    expect((await sendH2(session, {})).status).toBe(500);
    session.destroy();
  });
});

describe('an answer behind others that nobody has taken yet', () => {
  /** A client that reads nothing until the answers to all of it are made. */
  async function crowded(head: Buffer, flags: number, status: number) {
    const large = Buffer.alloc(8_000_000);
    const { port, outcomes, statuses } = await start((request, ended) => {
      if (request.target === '/large') return ok(ended, { body: large });
      const body = new TestBody();
      setImmediate(() => {
        body.sink?.write(utf8('short'));
        body.sink?.end(null);
      });
      return ok(ended, { status, body });
    });
    const raw = new RawH2(port);
    const windows = Buffer.concat([Buffer.from([0, 4]), uint32(0x7fffffff)]);
    // Both at once: who cannot write stops reading as well.
    raw.socket.pause();
    raw.write(
      frame(FRAME.settings, 0, 0, windows),
      frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff0000)),
      frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get('/large')),
      frame(FRAME.headers, END_HEADERS | flags, 3, head),
    );
    await eventually('both answers', () => statuses.length === 2);
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
    // Bit by bit, so that more waits behind whatever is taken.
    raw.socket.on('data', () => {
      raw.socket.pause();
      setTimeout(() => raw.socket.resume(), 2);
    });
    raw.socket.resume();
    await eventually('both outcomes', () => outcomes.length === 2);
    const frames = await eventually('the end of the stream', () => {
      const own = raw.frames.filter(({ stream }) => stream === 3);
      const isReset = own.some(({ type }) => type === FRAME.reset);
      const isEnded = own.some(({ type, flags: set }) => type === FRAME.data && set === END_STREAM);
      return isReset || (isEnded && flags === END_STREAM) ? own : null;
    });
    raw.socket.destroy();
    return frames.map(({ type, flags: set, payload }) => ({ type, set, text: payload.toString() }));
  }

  it('is ended, and not reset', async () => {
    const frames = await crowded(get('/short'), END_STREAM, 200);

    expect(frames.some(({ type, set }) => type === FRAME.data && set === END_STREAM)).toBe(true);
    expect(frames.some(({ type }) => type === FRAME.reset)).toBe(false);
  });

  it('is ended before its request is reset', async () => {
    const frames = await crowded(post('/short'), 0, 413);
    const types = frames.map(({ type, set }) =>
      type === FRAME.data && set === END_STREAM ? 'end' : type,
    );

    expect(types).toContain('end');
    expect(types).toContain(FRAME.reset);
    expect(types.indexOf('end')).toBeLessThan(types.indexOf(FRAME.reset));
  });
});

describe('a listener with HTTP/2 in clear', () => {
  it('goes on serving HTTP/1.1, on whatever comes in how many pieces', async () => {
    const { port, seen } = await start();

    const whole = await sendRaw(port, 'GET /p HTTP/1.1\r\nHost: a\r\n\r\n');
    const pieces = await sendRaw(port, ...'PRI * HTTP/1.1\r\nHost: a\r\n\r\n'.split(/(?<=P|R)/));
    const post1 = await sendRaw(
      port,
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc',
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    );

    expect(whole.status).toBe(200);
    expect(pieces.status).toBe(400);
    expect(post1.text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(seen.map(({ httpVersion }) => httpVersion)).toEqual(['1.1', '1.1', '1.1']);
  });

  it('closes what does not say in time what it is', async () => {
    const { port } = await start(undefined, { headTimeoutMs: 50 });

    const answer = await sendRaw(port, 'PRI * HTT');

    expect(answer).toMatchObject({ status: 0, closed: true });
  });

  it('tells clients to go when it stops, and finishes what is in flight', async () => {
    const release = Promise.withResolvers<void>();
    const { url, listener } = await start(async (_request, outcomes) => {
      await release.promise;
      return ok(outcomes);
    });
    const session = await openH2(url);
    const idle = await openH2(url);
    const goaways = new Map<unknown, number>();
    for (const one of [session, idle]) one.on('goaway', (code) => goaways.set(one, code));
    const pending = sendH2(session, {});
    await eventually('a request in flight', () => listener.inFlight === 1);

    const stopped = listener.drain(5000);
    await eventually('both to be told', () => goaways.size === 2);
    release.resolve();

    expect((await pending).status).toBe(200);
    await stopped;
    expect([...goaways.values()]).toEqual([0, 0]);
    expect(listener.connectionCount).toBe(0);
  });

  it('refuses streams beyond what it carries out at a time, so that they can be sent elsewhere', async () => {
    const release = Promise.withResolvers<void>();
    const { url, listener } = await start(
      async (_request, outcomes) => {
        await release.promise;
        return ok(outcomes);
      },
      { connectionsMax: 3 },
    );
    const session = await openH2(url);
    const pending = [1, 2, 3].map(() => sendH2(session, {}));
    await eventually('three in flight', () => listener.inFlight === 3);

    const refused = await sendH2(session, {});
    release.resolve();

    expect([refused.status, refused.code]).toEqual([0, 7]);
    expect((await Promise.all(pending)).map(({ status }) => status)).toEqual([200, 200, 200]);
    session.destroy();
  });
});
