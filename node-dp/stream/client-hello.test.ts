import { connect as connectTls } from 'node:tls';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { CLIENT_HELLO_BYTES_MAX, RECORDS_MAX, readClientHello } from './client-hello.ts';

/** What Node's own TLS client sends first. */
async function realHello(servername?: string): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const bytes = new Promise<Buffer>((resolve) => {
    server.once('connection', (socket) => {
      socket.on('error', () => {});
      socket.once('data', resolve);
    });
  });
  const { port } = server.address() as AddressInfo;
  const client = connectTls({ host: '127.0.0.1', port, ...(servername ? { servername } : {}) });
  client.on('error', () => {});
  const hello = await bytes;
  client.destroy();
  server.close();
  return hello;
}

function vector(size: 1 | 2, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length = Buffer.alloc(size);
  length.writeUIntBE(content.length, 0, size);
  return Buffer.concat([length, content]);
}

function nameExtension(name: string, type = 0): Buffer {
  const entry = Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name, 'latin1'))]);
  return Buffer.concat([Buffer.from([0, 0]), vector(2, vector(2, entry))]);
}

interface Made {
  readonly extensions?: Buffer[] | null;
  readonly tail?: Buffer;
  readonly ciphers?: Buffer;
}

function handshake({ extensions = [], tail, ciphers }: Made = {}): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    vector(1),
    vector(2, ciphers ?? Buffer.from([0x13, 0x01])),
    vector(1, Buffer.from([0])),
    ...(extensions === null ? [] : [vector(2, ...extensions)]),
    ...(tail === undefined ? [] : [tail]),
  ]);
  const header = Buffer.from([1, 0, 0, 0]);
  header.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([header, body]);
}

function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
}

describe('a ClientHello', () => {
  it('of a real client names the server that it means', async () => {
    expect(readClientHello(await realHello('App.Example'))).toEqual({
      tag: 'hello',
      serverName: 'app.example',
    });
    expect(readClientHello(await realHello())).toEqual({ tag: 'hello', serverName: null });
  });

  it('is waited for until its last byte, and never longer', async () => {
    const hello = await realHello('a.test');

    for (let length = 0; length < hello.length; length += 1) {
      expect(readClientHello(hello.subarray(0, length)).tag).toBe('more');
    }
    expect(readClientHello(hello).tag).toBe('hello');
  });

  it('may come in records of one byte', () => {
    const message = handshake({ extensions: [nameExtension('a.test')] });

    expect(readClientHello(records(message, 1))).toEqual({ tag: 'hello', serverName: 'a.test' });
  });

  it('may have no extensions at all', () => {
    expect(readClientHello(records(handshake({ extensions: null })))).toEqual({
      tag: 'hello',
      serverName: null,
    });
  });

  it('is not waited for beyond its bound', () => {
    const announced = Buffer.from([1, 0, 0, 0]);
    announced.writeUIntBE(CLIENT_HELLO_BYTES_MAX + 1, 1, 3);
    expect(readClientHello(records(announced))).toMatchObject({ tag: 'bad' });

    // Never complete.
    const slow = Buffer.from([1, 0, 0, 0]);
    slow.writeUIntBE(CLIENT_HELLO_BYTES_MAX, 1, 3);
    const drip = records(Buffer.concat([slow, Buffer.alloc(CLIENT_HELLO_BYTES_MAX - 1)]), 65);
    expect(readClientHello(drip).tag).toBe('more');
    const longer = Buffer.concat([drip, Buffer.alloc(1024)]);
    expect(readClientHello(longer)).toEqual({ tag: 'bad', reason: 'too long' });
  });

  it('is not waited for in more records than are worth reading again for each packet', () => {
    const slow = Buffer.from([1, 0, 0, 0]);
    slow.writeUIntBE(CLIENT_HELLO_BYTES_MAX, 1, 3);
    const most = records(Buffer.concat([slow, Buffer.alloc(RECORDS_MAX - 4)]), 1);
    const one = records(Buffer.alloc(1), 1);

    expect(readClientHello(most).tag).toBe('more');
    expect(readClientHello(Buffer.concat([most, one]))).toEqual({
      tag: 'bad',
      reason: 'too many records',
    });
  });

  it.each<[string, Buffer]>([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an alert', Buffer.from([21, 3, 3, 0, 2, 2, 40])],
    ['another version', Buffer.from([22, 2, 0, 0, 1, 1])],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
    ['a record that is too long', Buffer.from([22, 3, 1, 0x40, 0x01])],
    ['a ServerHello', records(Buffer.from([2, 0, 0, 0]))],
    ['bytes behind the message', records(Buffer.concat([handshake(), Buffer.from([1])]))],
    ['bytes behind the extensions', records(handshake({ tail: Buffer.from([0]) }))],
    ['an odd list of ciphers', records(handshake({ ciphers: Buffer.from([1, 2, 3]) }))],
    ['no ciphers', records(handshake({ ciphers: Buffer.alloc(0) }))],
    [
      'an extension that is cut short',
      records(handshake({ extensions: [Buffer.from([0, 1, 0, 9])] })),
    ],
    [
      'two server names',
      records(handshake({ extensions: [nameExtension('a'), nameExtension('b')] })),
    ],
    ['an empty server name', records(handshake({ extensions: [nameExtension('')] }))],
    ['another kind of name', records(handshake({ extensions: [nameExtension('a', 1)] }))],
    ['a name with a zero byte', records(handshake({ extensions: [nameExtension('a\0.test')] }))],
    [
      'a name that is too long',
      records(handshake({ extensions: [nameExtension('a'.repeat(256))] })),
    ],
  ])('is not %s', (_what, bytes) => {
    expect(readClientHello(bytes)).toMatchObject({ tag: 'bad' });
  });

  it('never throws, whatever comes', () => {
    let state = 20_261_124;
    const next = (): number => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31);
    const base = records(handshake({ extensions: [nameExtension('a.test')] }));
    for (let run = 0; run < 5000; run += 1) {
      const bytes = Buffer.from(base.subarray(0, next() % (base.length + 1)));
      for (let i = next() % 4; i > 0 && bytes.length > 0; i -= 1) {
        bytes[next() % bytes.length] = next() % 256;
      }
      expect(['more', 'bad', 'hello'], `seed 20261124, run ${run}`).toContain(
        readClientHello(bytes).tag,
      );
    }
  });
});
