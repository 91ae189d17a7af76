import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { proxyTo, Started } from './gateway.suite.ts';
import { sendRaw } from './raw-client.suite.ts';

const started = new Started();
afterEach(() => started.close());

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';
const NEXT = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext';

function get(path: string, method = 'GET'): string {
  return `${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

function bodyOf(text: string): string {
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

/** Answers `/next` well, and everything else with these bytes. */
async function start(bytes: string): Promise<number> {
  const upstream = await started.upstream((socket: Socket, text) => {
    if (text.startsWith('GET /next')) socket.write(NEXT);
    else socket.write(Buffer.from(bytes, 'latin1'));
  });
  const tables = proxyTo(upstream.port, { read_timeout: 1000 }).tables();
  return (await started.gateway(tables)).port;
}

describe('an upstream response', () => {
  it.each([
    ['100 Continue, asked for by nobody', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['102 Processing', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['103 Early Hints', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'],
    ['several of them', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(3)],
  ])('passes behind %s', async (_name, interim) => {
    const port = await start(interim + OK);

    const { status, text } = await sendRaw(port, get('/'));

    expect([status, bodyOf(text)]).toEqual([200, 'ok']);
    expect(text).not.toContain('Link');
  });

  it.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!'],
    [
      'twice the same length',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
    ],
    ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok'],
    ['an empty length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok'],
    [
      'a length and a coding',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
    ['an unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
    ['a folded field', 'HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok'],
    ['a bare line feed', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['a bare carriage return', 'HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok'],
    ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok'],
    ['a name that is none', 'HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 2\r\n\r\nok'],
    ['status 000', 'HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['status 1000', 'HTTP/1.1 1000 OK\r\nContent-Length: 2\r\n\r\nok'],
    [
      'a switch of protocols',
      `HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n${OK}`,
    ],
    ['too large a head', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70_000)}\r\n\r\n`],
    ['interim responses without end', 'HTTP/1.1 103 Early\r\n\r\n'.repeat(5000) + OK],
  ])('with %s becomes a 502', async (_name, bytes) => {
    const port = await start(bytes);

    expect((await sendRaw(port, get('/'))).status).toBe(502);
    expect(bodyOf((await sendRaw(port, get('/next'))).text)).toBe('next');
  });

  it.each([
    ['behind a 204', 'GET', `HTTP/1.1 204 No Content\r\n\r\n${EVIL}`, ''],
    ['behind a 304', 'GET', `HTTP/1.1 304 Not Modified\r\n\r\n${EVIL}`, ''],
    ['behind the answer to HEAD', 'HEAD', EVIL, ''],
    ['behind a whole one', 'GET', OK + EVIL, 'ok'],
  ])('does not reach the next request %s', async (_name, method, bytes, body) => {
    const port = await start(bytes);

    const first = await sendRaw(port, get('/', method));

    expect(bodyOf(first.text)).toBe(body);
    expect(bodyOf((await sendRaw(port, get('/next'))).text)).toBe('next');
  });

  it('that comes before the request has ended leaves its connection to nobody else', async () => {
    const upstream = await started.upstream((socket, text) => {
      if (text.startsWith('GET /next')) socket.write(NEXT);
      else if (text.startsWith('POST'))
        socket.write('HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n');
    });
    const { port } = await started.gateway(proxyTo(upstream.port).tables());
    // Longer than what is held until it is whole.
    const smuggled = get('/smuggled');
    const post = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n${smuggled}`;

    expect((await sendRaw(port, post)).status).toBe(413);
    expect(bodyOf((await sendRaw(port, get('/next'))).text)).toBe('next');
    expect(upstream.connections).toHaveLength(2);
  });

  it('that stalls in the middle is broken off after the read timeout', async () => {
    const port = await start('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');

    const { text, closed } = await readToEnd(port, get('/'));

    expect([bodyOf(text), closed]).toEqual(['half', true]);
  });
});

/** However long it stays silent in between. */
async function readToEnd(port: number, head: string): Promise<{ text: string; closed: boolean }> {
  const socket = connect({ host: '127.0.0.1', port });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.write(head);
  await once(socket, 'close');
  return { text, closed: socket.destroyed };
}

describe('a text of the configuration in a header', () => {
  it('goes to the upstream in UTF-8', async () => {
    const upstream = await started.upstream((socket) => void socket.write(OK));
    const config = proxyTo(upstream.port);
    config.consumer('Łukasz\r\nX-Evil: 1', 'key-1');
    config.plugin('key-auth');
    const { port } = await started.gateway(config.tables());

    const answer = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\napikey: key-1\r\n\r\n');

    expect(answer.status).toBe(200);
    const sent = Buffer.from(upstream.text, 'latin1').toString('utf8');
    expect(sent).toContain('X-Consumer-Username: Łukasz  X-Evil: 1\r\n');
  });

  it('goes to the client in UTF-8', async () => {
    const upstream = await started.upstream((socket) => void socket.write(OK));
    const config = proxyTo(upstream.port);
    config.plugin('response-transformer', { add: { headers: ['x-city:Łódź'] } });
    const { port } = await started.gateway(config.tables());

    const { text } = await sendRaw(port, get('/'));

    expect(Buffer.from(text, 'latin1').toString('utf8')).toContain('x-city: Łódź\r\n');
  });

  it('whose name cannot be sent is a 500, not a crash', async () => {
    const upstream = await started.upstream((socket) => void socket.write(OK));
    const config = proxyTo(upstream.port);
    config.plugin('response-transformer', { add: { headers: ['x city:a'] } });
    const { port } = await started.gateway(config.tables());

    expect((await sendRaw(port, get('/'))).status).toBe(500);
  });
});
