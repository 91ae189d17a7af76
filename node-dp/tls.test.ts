import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/base/bytes.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { UpstreamError, type UpstreamRequest } from '#shared/platform/platform.ts';
import { readAll } from '../test/conformance/transport.suite.ts';
import { hasOpenssl } from '../test/support/openssl.ts';
import { openH2, sendH2 } from './h2/client.suite.ts';
import { Listener, type TlsFiles } from './listener.ts';
import { NodeTransport } from './transport.ts';

describe.skipIf(!hasOpenssl())('over TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-tls-'));
  const seen: GatewayRequest[] = [];
  let listener: Listener;
  let port = 0;
  let transport: NodeTransport;

  beforeAll(async () => {
    listener = new Listener({
      listen: { host: '127.0.0.1', port: 0, tls: true },
      tls: makeCertificate(folder),
      connectionsMax: 10,
      random: nodeRandom,
      handle: (received): GatewayResponse => {
        seen.push(received);
        const body = utf8('hello');
        return {
          status: 200,
          headers: new HeaderList(),
          body,
          tunnel: null,
          filters: [],
          onFinish: () => {},
        };
      },
    });
    ({ port } = await listener.start());
    transport = new NodeTransport();
  });
  afterAll(async () => {
    transport.close();
    await listener.drain(0);
    rmSync(folder, { recursive: true });
  });

  function tlsFor(serverName: string | null, verify: boolean): UpstreamRequest['tls'] {
    return { serverName, verify, verifyDepth: null, ca: null, clientCertificate: null };
  }

  function request(tls: UpstreamRequest['tls']): UpstreamRequest {
    return {
      scheme: 'https',
      host: '127.0.0.1',
      address: null,
      port,
      httpVersion: '1.1',
      upgrade: null,
      method: 'GET',
      target: '/',
      headers: new HeaderList(['Host', 'a.example']),
      body: null,
      connectTimeoutMs: 2000,
      writeTimeoutMs: 2000,
      readTimeoutMs: 2000,
      tls,
      abort: { aborted: false, onAbort: () => () => {} },
    };
  }

  it('a listener serves, and says what the client asked for', async () => {
    const response = await transport.send(request(tlsFor('a.example', false)));

    expect(Buffer.from(await readAll(response.body)).toString()).toBe('hello');
    expect(seen.at(-1)?.scheme).toBe('https');
    expect(seen.at(-1)?.tls).toEqual({ serverName: 'a.example', version: 'TLSv1.3' });
  });

  it('the transport names no server where it was told none and connects by address', async () => {
    await transport.send(request(tlsFor(null, false)));

    expect(seen.at(-1)?.tls?.serverName).toBeNull();
  });

  it('the transport refuses a certificate it cannot verify, with nothing sent', async () => {
    const before = seen.length;

    const error: unknown = await transport
      .send(request(tlsFor('a.example', true)))
      .catch((reason: unknown) => reason);

    expect(error).toBeInstanceOf(UpstreamError);
    expect(error).toMatchObject({ failure: 'connect', maybeProcessed: false });
    expect(seen).toHaveLength(before);
  });

  it('a listener speaks HTTP/2 with who offers it', async () => {
    const session = await openH2(`https://127.0.0.1:${port}`);

    const answer = await sendH2(session, { ':authority': 'a.example' });

    expect(answer).toMatchObject({ status: 200, text: 'hello' });
    expect(session.alpnProtocol).toBe('h2');
    expect(seen.at(-1)).toMatchObject({ httpVersion: '2', scheme: 'https' });
    expect(seen.at(-1)?.tls?.version).toBe('TLSv1.3');
    session.destroy();
  });

  it('a listener refuses TLS 1.1', async () => {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });

    const outcome = await new Promise((resolve) => {
      socket.once('secureConnect', () => resolve('connected'));
      socket.once('error', () => resolve('refused'));
    });

    expect(outcome).toBe('refused');
    socket.destroy();
  });
});

function makeCertificate(folder: string): TlsFiles {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const files = ['-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', '-subj', '/CN=a.example', ...options, ...files], {
    stdio: 'ignore',
  });
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}
