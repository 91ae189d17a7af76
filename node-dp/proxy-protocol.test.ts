import { connect as connectTls, type TLSSocket } from 'node:tls';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { makeCertificate } from '../test/support/certificates.ts';
import { hasOpenssl } from '../test/support/openssl.ts';
import { END_HEADERS, END_STREAM, FRAME, frame, get, NOTHING } from './h2/client.suite.ts';
import { closeAfterEach, start, type Started } from './h2/h2.suite.ts';
import type { ListenerOptions } from './listener.ts';
import { judgeProxyHeader } from './proxy-protocol.ts';
import { sendRaw } from './raw-client.suite.ts';
import { terminationOf } from './tls/tls.suite.ts';

closeAfterEach();

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

function v2(command: number, family: number, rest: readonly number[]): Buffer {
  const head = Buffer.from([command, family, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([V2_SIGNATURE, head, Buffer.from(rest)]);
}

const TOLD = {
  peerAddress: '192.0.2.7',
  peerPort: 5000,
  localAddress: '198.51.100.1',
  localPort: 443,
};
const V1 = Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n');
const V2 = v2(0x21, 0x11, [192, 0, 2, 7, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb]);
const V6 = [0x20, 1, 0xd, 0xb8, ...Array.from({ length: 11 }, () => 0), 1];

describe('a PROXY header', () => {
  it.each<[string, Buffer, object | null]>([
    ['version 1, IPv4', V1, TOLD],
    [
      'version 1, IPv6',
      Buffer.from('PROXY TCP6 2001:DB8::1 2001:db8:0:0::2 1 65535\r\n'),
      { peerAddress: '2001:db8::1', peerPort: 1, localAddress: '2001:db8::2', localPort: 65_535 },
    ],
    ['version 1, of something unknown', Buffer.from('PROXY UNKNOWN\r\n'), null],
    [
      'version 1, of something unknown with more',
      Buffer.from('PROXY UNKNOWN ffff::1 ::1 1 2\r\n'),
      null,
    ],
    ['version 2, IPv4', V2, TOLD],
    [
      'version 2, IPv6',
      v2(0x21, 0x21, [...V6, ...V6, 0, 1, 0, 2]),
      { peerAddress: '2001:db8::1', peerPort: 1, localAddress: '2001:db8::1', localPort: 2 },
    ],
    [
      'version 2, with values behind the addresses',
      v2(0x21, 0x11, [192, 0, 2, 7, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb, 4, 0, 1, 0]),
      TOLD,
    ],
    ['version 2, the balancer’s own connection', v2(0x20, 0, []), null],
    [
      'version 2, the balancer’s own connection with addresses',
      v2(0x20, 0x11, [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2]),
      null,
    ],
    ['version 2, of a protocol unknown', v2(0x21, 0, [1, 2, 3]), null],
    [
      'version 2, of a local socket',
      v2(
        0x21,
        0x31,
        Array.from({ length: 216 }, () => 0),
      ),
      null,
    ],
  ])('is read: %s', (_name, header, told) => {
    const rest = Buffer.from('GET / HTTP/1.1\r\n');

    expect(judgeProxyHeader(Buffer.concat([header, rest]))).toEqual({
      tag: 'known',
      value: told,
      taken: header.length,
    });
    for (let end = 1; end < header.length; end += 1) {
      expect(judgeProxyHeader(header.subarray(0, end))).toEqual({ tag: 'more' });
    }
  });

  it.each<[string, Buffer | string]>([
    ['none at all', 'GET / HTTP/1.1\r\n'],
    ['an unknown family', 'PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n'],
    ['UDP', 'PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n'],
    ['lower case', 'proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n'],
    ['two spaces', 'PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n'],
    ['a leading zero in a port', 'PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n'],
    ['a port too large', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n'],
    ['a signed port', 'PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n'],
    ['an address that is none', 'PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n'],
    ['an address with a leading zero', 'PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n'],
    ['IPv6 said to be IPv4', 'PROXY TCP4 ::1 ::1 1 2\r\n'],
    ['an address with a zone', 'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n'],
    ['something behind the ports', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n'],
    ['no end', `PROXY UNKNOWN ${'a'.repeat(107)}`],
    ['a bare line feed', `PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n${'a'.repeat(107)}`],
    ['an unknown version', v2(0x31, 0x11, [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2])],
    ['an unknown command', v2(0x22, 0x11, [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2])],
    ['too few bytes for its addresses', v2(0x21, 0x11, [1, 2, 3, 4])],
    ['more than its bound', Buffer.concat([V2_SIGNATURE, Buffer.from([0x21, 0x11, 0xff, 0xff])])],
  ])('is refused: %s', (_name, header) => {
    expect(judgeProxyHeader(Buffer.from(header))).toEqual({ tag: 'refused' });
  });
});

function begin(changes: Partial<ListenerOptions> = {}, isTls = false): Promise<Started> {
  return start(undefined, {
    listen: { host: '127.0.0.1', port: 0, tls: isTls, http2: true, proxyProtocol: true },
    believesPeer: (address) => address === '127.0.0.1',
    ...changes,
  });
}

const GET = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');

describe('a listener of connections with PROXY headers', () => {
  it.each([
    ['version 1', V1],
    ['version 2', V2],
  ])('takes the client from it: %s', async (_name, header) => {
    const { port, seen } = await begin();

    expect((await sendRaw(port, header, GET)).status).toBe(200);
    expect((await sendRaw(port, Buffer.concat([header, GET]))).status).toBe(200);

    expect(seen).toHaveLength(2);
    for (const request of seen) expect(request).toMatchObject(TOLD);
  });

  it('takes it byte by byte, and HTTP/2 behind it', async () => {
    const { port, seen } = await begin();
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const settings = frame(FRAME.settings, 0, 0, NOTHING);
    const head = frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get('/two'));
    const bytes = Buffer.concat([V1, Buffer.from(preface), settings, head]);
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });

    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => socket.once('data', resolve));
    await expect.poll(() => seen.length).toBe(1);

    expect(seen[0]).toMatchObject({ ...TOLD, httpVersion: '2', target: '/two' });
    socket.destroy();
  });

  it('reads it and does not believe a peer that it was not told to trust', async () => {
    const { port, seen } = await begin({ believesPeer: () => false });

    expect((await sendRaw(port, V1, GET)).status).toBe(200);

    expect(seen[0]).toMatchObject({ peerAddress: '127.0.0.1', localPort: port });
  });

  it.each([
    ['none', GET],
    ['one that is broken', Buffer.concat([Buffer.from('PROXY TCP4 1 2 3 4\r\n'), GET])],
    ['half of one', V1.subarray(0, 20)],
  ])('closes a connection with %s', async (_name, bytes) => {
    const { port, seen } = await begin({ headTimeoutMs: 80 });

    expect(await sendRaw(port, bytes)).toMatchObject({ status: 0, closed: true });
    expect(seen).toHaveLength(0);
  });

  it.skipIf(!hasOpenssl())('goes on with TLS behind it, in either version of HTTP', async () => {
    const { port, seen } = await begin({ tls: terminationOf(makeCertificate()) }, true);
    const over = async (alpn: string, bytes: Buffer): Promise<void> => {
      const raw = connect({ host: '127.0.0.1', port });
      raw.write(V2);
      const socket: TLSSocket = connectTls({
        socket: raw,
        rejectUnauthorized: false,
        ALPNProtocols: [alpn],
      });
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      const before = seen.length;
      socket.write(bytes);
      await expect.poll(() => seen.length).toBe(before + 1);
      socket.destroy();
    };
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

    await over('http/1.1', GET);
    await over(
      'h2',
      Buffer.concat([
        preface,
        frame(FRAME.settings, 0, 0, NOTHING),
        frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get()),
      ]),
    );

    expect(seen.map(({ httpVersion }) => httpVersion)).toEqual(['1.1', '2']);
    for (const request of seen) expect(request).toMatchObject({ ...TOLD, scheme: 'https' });
  });
});
