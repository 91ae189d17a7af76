import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/base/bytes.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse, Outcome } from '#shared/http/message.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { eventually } from '../test/support/eventually.ts';
import { Listener } from './listener.ts';
import { sendRaw } from './raw-client.suite.ts';

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.drain(0)));
});

interface Started {
  readonly port: number;
  readonly seen: GatewayRequest[];
  readonly outcomes: Outcome[];
  readonly listener: Listener;
}

type Answer = (request: GatewayRequest) => GatewayResponse | Promise<GatewayResponse>;

async function start(
  answer: (outcomes: Outcome[]) => Answer = (outcomes) => () => ok(outcomes),
  limits: { connectionsMax?: number; bodyIdleMs?: number } = {},
): Promise<Started> {
  const seen: GatewayRequest[] = [];
  const outcomes: Outcome[] = [];
  const handler = answer(outcomes);
  const listener = new Listener({
    listen: { host: '127.0.0.1', port: 0, tls: false },
    tls: null,
    connectionsMax: 1000,
    ...limits,
    random: nodeRandom,
    handle: (request) => {
      seen.push(request);
      return handler(request);
    },
  });
  open.push(listener);
  const { port } = await listener.start();
  return { port, seen, outcomes, listener };
}

function ok(outcomes: Outcome[], changes: Partial<GatewayResponse> = {}): GatewayResponse {
  return {
    status: 200,
    headers: new HeaderList(['X-From', 'gateway']),
    body: utf8('hello'),
    tunnel: null,
    filters: [],
    onFinish: (outcome) => outcomes.push(outcome),
    ...changes,
  };
}

function get(rest: string): string {
  return `GET / HTTP/1.1\r\nHost: a\r\n${rest}\r\n`;
}

function post(rest: string): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${rest}`;
}

function upper(chunk: Uint8Array): Uint8Array {
  return utf8(Buffer.from(chunk).toString('latin1').toUpperCase());
}

function twice(chunk: Uint8Array): Uint8Array {
  return Buffer.concat([chunk, chunk]);
}

function broken(): never {
  throw new Error('filter');
}

describe('a listener refuses, without asking the gateway,', () => {
  it.each<[string, string, number]>([
    [
      'Content-Length beside Transfer-Encoding',
      post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      400,
    ],
    ['two equal Content-Lengths', post('Content-Length: 1\r\nContent-Length: 1\r\n\r\na'), 400],
    [
      'two different Content-Lengths',
      post('Content-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
      400,
    ],
    ['a list of lengths', post('Content-Length: 1, 1\r\n\r\na'), 400],
    ['a signed length', post('Content-Length: +1\r\n\r\na'), 400],
    ['an unknown coding', post('Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'), 501],
    ['gzip before chunked', post('Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'), 501],
    [
      'chunked twice',
      post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      400,
    ],
    ['identity after chunked', post('Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'), 400],
    ['a space before the colon', get('X-A : 1\r\n'), 400],
    ['a folded field', get('X-A: 1\r\n 2\r\n'), 400],
    ['a bare line feed', 'GET / HTTP/1.1\nHost: a\n\n', 400],
    ['a bare carriage return', get('X-A: 1\r2\r\n'), 400],
    ['a NUL in a value', get('X-A: 1\x002\r\n'), 400],
    ['an empty field name', get(': 1\r\n'), 400],
    [
      'Transfer-Encoding in HTTP/1.0',
      'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['HTTP/0.9', 'GET /\r\n\r\n', 505],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 400],
    ['HTTP/2 prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['a lower-case method', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['two Authorizations', get('Authorization: a\r\nAuthorization: b\r\n'), 400],
    ['two Content-Types', get('Content-Type: a\r\nContent-Type: b\r\n'), 400],
    ['an odd expectation', get('Expect: y 100-continue\r\n'), 417],
    ['an unknown expectation', get('Expect: tea\r\n'), 417],
    ['a target that is neither form', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['a Host with userinfo', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
    ['a length beyond what numbers hold', post('Content-Length: 9007199254740993\r\n\r\n'), 400],
    ['an authority with userinfo', 'GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['a long target', `GET /${'a'.repeat(8192)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    ['too many fields', get(Array.from({ length: 101 }, (_, i) => `X-${i}: 1\r\n`).join('')), 400],
    ['too large a head', get(`X-A: ${'a'.repeat(17_000)}\r\n`), 400],
    ['something that is not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', 400],
  ])('%s', async (_name, request, status) => {
    const { port, seen } = await start();

    const answer = await sendRaw(port, request);

    expect(answer.status).toBe(status);
    expect(answer.closed).toBe(true);
    expect(answer.text).toMatch(/request_id: [0-9a-f]{32}/);
    expect(seen).toHaveLength(0);
  });

  it.each([
    ['a hexadecimal prefix in a chunk size', '0x1\r\na\r\n0\r\n\r\n'],
    ['a chunk longer than it says', '1\r\nab\r\n0\r\n\r\n'],
    ['a line feed in a chunk extension', '1;a\nb\r\na\r\n0\r\n\r\n'],
  ])('the rest after %s', async (_name, body) => {
    const { port, outcomes } = await start((ended) => async (request) => {
      await drained(request);
      return ok(ended);
    });

    const answer = await sendRaw(
      port,
      post(`Transfer-Encoding: chunked\r\n\r\n${body}GET /next HTTP/1.1\r\nHost: a\r\n\r\n`),
    );

    expect(answer.status).toBe(400);
    expect(answer.closed).toBe(true);
    expect(outcomes.filter((outcome) => outcome.complete)).toHaveLength(0);
  });

  it('a head in the format that Accept asks for', async () => {
    const { port } = await start();

    const answer = await sendRaw(port, get('Accept: application/json\r\nExpect: tea\r\n'));

    expect(answer.text).toMatch(/\{\n {2}"message":"[^"]+",\n {2}"request_id":"[0-9a-f]{32}"\n\}/);
    const html = await sendRaw(port, get('Accept: text/html\r\nExpect: tea\r\n'));
    expect(html.text).toContain('<p>Expectation failed.</p>');
  });
});

/** Reads a request's body to its end, clean or not. */
function drained(request: GatewayRequest): Promise<string> {
  const { body } = request;
  if (body === null) return Promise.resolve('');
  if (body instanceof Uint8Array) return Promise.resolve(Buffer.from(body).toString('latin1'));
  let text = '';
  return new Promise((resolve) =>
    body.pipe({
      write: (chunk) => {
        text += Buffer.from(chunk).toString('latin1');
        return true;
      },
      end: () => resolve(text),
      abort: (error) => resolve(`broken off: ${error.name}`),
    }),
  );
}

describe('a listener', () => {
  it('hands over target, headers and peer as they came', async () => {
    const { port, seen } = await start();

    await sendRaw(port, "GET /a//b/../c;d?x=%20&y='  HTTP/1.1\r\n\r\n");
    await sendRaw(
      port,
      'GET /a/../%41?x=1&x=2 HTTP/1.1\r\nHoSt: A.b:80\r\nX-a: 1\r\nx-A: 2\r\n\r\n',
    );

    expect(seen).toHaveLength(1);
    const [request] = seen;
    expect(request?.target).toBe('/a/../%41?x=1&x=2');
    expect(request?.headers.raw).toEqual(['HoSt', 'A.b:80', 'X-a', '1', 'x-A', '2']);
    expect(request?.peerAddress).toBe('127.0.0.1');
    expect(request?.localPort).toBe(port);
    expect([request?.scheme, request?.httpVersion, request?.body]).toEqual(['http', '1.1', null]);
  });

  it('goes by the authority of an absolute target, whatever Host says', async () => {
    const { port, seen } = await start();

    await sendRaw(port, 'GET http://real.example/p?q HTTP/1.1\r\nHost: other\r\n\r\n');

    expect(seen[0]?.target).toBe('/p?q');
    expect(seen[0]?.headers.getAll('host')).toEqual(['real.example']);
  });

  it('keeps the connection for the next request', async () => {
    const { port, seen } = await start();

    const answer = await sendRaw(port, get(''), get(''));

    expect(seen).toHaveLength(2);
    expect(answer.text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(answer.closed).toBe(false);
  });

  it('frames anew and drops the fields of another connection', async () => {
    const headers = ['Content-Length', '999', 'Connection', 'x-a', 'Transfer-Encoding', 'chunked'];
    const { port } = await start((ended) => () => ok(ended, { headers: new HeaderList(headers) }));

    const { text } = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');

    expect(text).toContain('Content-Length: 5\r\n');
    expect(text).not.toMatch(/999|x-a|chunked/);
  });

  it('sends no body for HEAD and keeps the length', async () => {
    const headers = new HeaderList(['Content-Length', '1234']);
    const { port } = await start((ended) => () => ok(ended, { headers, body: null }));

    const { text } = await sendRaw(port, 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');

    expect(text).toContain('Content-Length: 1234\r\n');
    expect(text.endsWith('\r\n\r\n')).toBe(true);
  });

  it('runs filters over the body and counts what is left', async () => {
    const { port, outcomes } = await start((ended) => () => ok(ended, { filters: [upper, twice] }));

    const { text } = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');

    expect(text).toContain('Content-Length: 10\r\n');
    expect(text.endsWith('HELLOHELLO')).toBe(true);
    expect(outcomes).toEqual([{ complete: true, bytesSent: 10 }]);
  });

  it('breaks off when a filter throws, so that nothing unfiltered gets out', async () => {
    const { port, outcomes } = await start((ended) => () => ok(ended, { filters: [broken] }));

    const answer = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');

    expect(answer.text).not.toContain('hello');
    expect(answer.closed).toBe(true);
    expect(outcomes.map((outcome) => outcome.complete)).toEqual([false]);
  });

  it('reads a short body before it asks the gateway', async () => {
    const { port, seen } = await start();

    await sendRaw(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe', 'llo');

    expect(Buffer.from(seen[0]?.body as Uint8Array).toString()).toBe('hello');
  });

  it('hands over a chunked body as a stream', async () => {
    const { port } = await start(
      (ended) => async (request) => ok(ended, { body: utf8(`got ${await drained(request)}`) }),
    );

    const { text } = await sendRaw(
      port,
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    );

    expect(text.endsWith('got abcde')).toBe(true);
  });

  const expecting =
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n';

  it('says 100 Continue when somebody wants the body', async () => {
    const { port } = await start(
      (ended) => async (request) => ok(ended, { body: utf8(await drained(request)) }),
    );

    const { text } = await sendRaw(port, expecting, 'hello');

    expect(text.startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200')).toBe(true);
  });

  it('does not say 100 Continue when nobody wants the body, and closes', async () => {
    const { port } = await start((ended) => () => ok(ended, { status: 401 }));

    const answer = await sendRaw(port, expecting);

    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain('100 Continue');
    expect(answer.closed).toBe(true);
  });

  it('tells the gateway when the client goes away', async () => {
    const aborted = Promise.withResolvers<void>();
    const arrival = Promise.withResolvers<void>();
    const { port, outcomes } = await start((ended) => (request) => {
      request.abort.onAbort(aborted.resolve);
      arrival.resolve();
      return aborted.promise.then(() => ok(ended));
    });

    const socket = connect({ host: '127.0.0.1', port });
    socket.write(get(''));
    await arrival.promise;
    socket.destroy();
    await eventually('an outcome', () => outcomes.length > 0);

    expect(outcomes).toEqual([{ complete: false, bytesSent: 0 }]);
  });

  it('finishes what is in flight when it stops, and takes nothing new', async () => {
    const released = Promise.withResolvers<void>();
    const arrival = Promise.withResolvers<void>();
    const { port, listener } = await start((ended) => async () => {
      arrival.resolve();
      await released.promise;
      return ok(ended);
    });
    const inFlight = sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await arrival.promise;

    const stopped = listener.drain(5000);
    const late = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    released.resolve();

    expect(late.status).toBe(0);
    const answer = await inFlight;
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('Connection: close');
    await stopped;
  });

  it('cuts off what is still in flight after the deadline', async () => {
    const arrival = Promise.withResolvers<void>();
    const { port, listener } = await start(() => () => {
      arrival.resolve();
      return new Promise<GatewayResponse>(() => {});
    });
    const inFlight = sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await arrival.promise;

    await listener.drain(20);

    expect((await inFlight).status).toBe(0);
  });

  it('closes connections beyond its limit at once', async () => {
    const { port } = await start((ended) => () => ok(ended), { connectionsMax: 1 });
    const first = connect({ host: '127.0.0.1', port });
    await new Promise((resolve) => first.once('connect', resolve));

    const second = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');

    expect(second).toMatchObject({ status: 0, closed: true });
    first.destroy();
  });

  it.each([
    ['short', 'Content-Length: 5\r\n\r\nab'],
    ['long', 'Content-Length: 100000\r\n\r\nab'],
    ['chunked', 'Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n'],
  ])('gives up a client that falls silent in the middle of a %s body', async (_name, rest) => {
    const waiting = (ended: Outcome[]) => async (request: GatewayRequest) => {
      await drained(request);
      return ok(ended);
    };
    const { port } = await start(waiting, { bodyIdleMs: 60 });

    const answer = await sendRaw(port, post(rest));

    expect([answer.status, answer.closed]).toEqual([408, true]);
  });

  it('waits for a client that is slow and not silent', async () => {
    const { port } = await start(
      (ended) => async (request) => ok(ended, { body: utf8(await drained(request)) }),
      { bodyIdleMs: 200 },
    );
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write(post('Transfer-Encoding: chunked\r\n\r\n'));
    const pieces = ['1\r\na\r\n', '1\r\nb\r\n', '1\r\nc\r\n', '1\r\nd\r\n', '0\r\n\r\n'];
    const timer = setInterval(() => socket.write(pieces.shift() ?? ''), 80);

    await eventually('an answer', () => text.endsWith('abcd'));

    clearInterval(timer);
    socket.destroy();
  });

  it('lets a client that sends too much see the answer, within bounds', async () => {
    const { port } = await start((ended) => () => ok(ended, { status: 413 }));
    const piece = Buffer.alloc(64 * 1024, 0x61);

    // Eight times what is read and thrown away at most.
    const answer = await sendRaw(
      port,
      post(`Content-Length: ${piece.length * 128}\r\n\r\n`),
      ...Array.from({ length: 128 }, () => piece),
    );

    expect([answer.status, answer.closed]).toEqual([413, true]);
  });
});
