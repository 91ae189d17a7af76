import { createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HeaderList } from '#shared/http/headers.ts';
import {
  UpstreamError,
  type UpstreamRequest,
  type UpstreamTls,
} from '#shared/platform/platform.ts';
import { readAll } from '../../test/conformance/transport.suite.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { type Issued, TestAuthority } from '../../test/support/pki.ts';
import { NodeTransport, TRANSPORT_LIMITS } from '../transport.ts';
import { TRUST_CONTEXTS_MAX, UpstreamTlsContexts } from './upstream-tls.ts';

const PLAIN: UpstreamTls = {
  serverName: 'up.test',
  verify: false,
  verifyDepth: null,
  ca: null,
  clientCertificate: null,
};

describe.skipIf(!hasOpenssl())('TLS to upstreams', () => {
  let root: TestAuthority;
  let issued: Issued;
  const closers: (() => void)[] = [];

  beforeAll(() => {
    root = TestAuthority.root();
    issued = root.issue({ name: 'up.test', hosts: ['up.test', '127.0.0.1'] });
  });
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  /** An upstream that answers `hello`, and whom it has seen. */
  async function upstream(pair: Issued = issued, options: TlsOptions = {}) {
    const seen: TLSSocket[] = [];
    const server = createServer({ cert: pair.chain, key: pair.key, ...options }, (socket) => {
      seen.push(socket);
      socket.on('error', () => {});
      socket.on('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => {
      server.close();
      for (const socket of seen) socket.destroy();
    });
    // A listening TCP server's address is an object.
    const { port } = server.address() as { port: number };
    return { port, seen };
  }

  function transportOf(trusted: readonly string[] = []): NodeTransport {
    const transport = new NodeTransport(TRANSPORT_LIMITS, new UpstreamTlsContexts(trusted));
    closers.push(() => transport.close());
    return transport;
  }

  async function ask(
    transport: NodeTransport,
    port: number,
    tls: UpstreamTls,
    more: Partial<UpstreamRequest> = {},
  ): Promise<string> {
    const response = await transport.send({
      scheme: 'https',
      host: 'up.test',
      address: '127.0.0.1',
      port,
      httpVersion: '1.1',
      upgrade: null,
      method: 'GET',
      target: '/',
      headers: new HeaderList(['Host', 'up.test']),
      body: null,
      connectTimeoutMs: 2000,
      writeTimeoutMs: 2000,
      readTimeoutMs: 2000,
      tls,
      abort: { aborted: false, onAbort: () => () => {} },
      ...more,
    });
    return Buffer.from(await readAll(response.body)).toString();
  }

  /** `hello`, or why not. */
  const outcome = (...args: Parameters<typeof ask>): Promise<string> =>
    ask(...args).catch((error: unknown) => {
      expect(error).toBeInstanceOf(UpstreamError);
      expect(error).toMatchObject({ failure: 'connect', maybeProcessed: false });
      const cause: unknown = error instanceof Error ? error.cause : null;
      return cause instanceof Error ? cause.message : 'failed';
    });

  it('takes any certificate unless it is told to verify, and names whom it means', async () => {
    const { port, seen } = await upstream(TestAuthority.root('x').issue({ name: 'other.test' }));
    expect(await outcome(transportOf(), port, PLAIN)).toBe('hello');
    expect((seen[0] as { servername?: unknown } | undefined)?.servername).toBe('up.test');
    await outcome(transportOf(), port, { ...PLAIN, serverName: null }, { host: '127.0.0.1' });
    expect((seen[1] as { servername?: unknown } | undefined)?.servername).toBe(false);
  });

  it.each([
    ['those of the service', (pem: string) => ({ trusted: [], ca: [pem] }), 'hello'],
    [
      'the process’s where the service names none',
      (pem: string) => ({ trusted: [pem], ca: null }),
      'hello',
    ],
    ['none', () => ({ trusted: [], ca: null }), /unable to/],
    [
      'not the process’s where the service names others',
      (pem: string, other: string) => ({ trusted: [pem], ca: [other] }),
      /unable to/,
    ],
  ])('trusts %s', async (_whom, trust, expected) => {
    const other = TestAuthority.root('Other');
    const { trusted, ca } = trust(root.cert, other.cert);
    const { port, seen } = await upstream();
    const result = await outcome(transportOf(trusted), port, { ...PLAIN, verify: true, ca });
    expect(result).toEqual(expected instanceof RegExp ? expect.stringMatching(expected) : expected);
    if (result !== 'hello') expect(seen.every((socket) => socket.bytesRead === 0)).toBe(true);
  });

  it('verifies the name that is meant, not where it connects to', async () => {
    const { port } = await upstream();
    const verified = { ...PLAIN, verify: true, ca: [root.cert] };
    const transport = transportOf();
    expect(await outcome(transport, port, { ...verified, serverName: 'no.test' })).toMatch(
      /no\.test/,
    );
    const byAddress = { ...verified, serverName: null };
    expect(await outcome(transport, port, byAddress, { host: '127.0.0.1' })).toBe('hello');
    expect(await outcome(transport, port, byAddress, { host: '127.0.0.2' })).toMatch(
      /127\.0\.0\.2/,
    );
  });

  it.each([
    [0, 0, true],
    [1, 0, false],
    [1, 1, true],
    [2, 1, false],
    [2, 2, true],
    [2, null, true],
  ])('accepts %i intermediates where %j are allowed: %s', async (depth, verifyDepth, isGood) => {
    let authority = root;
    for (let i = 0; i < depth; i += 1) authority = authority.authority(`Level ${i}`);
    const { port } = await upstream(authority.issue({ name: 'up.test' }));
    const tls = { ...PLAIN, verify: true, ca: [root.cert], verifyDepth };
    const result = await outcome(transportOf(), port, tls);
    expect(result).toEqual(isGood ? 'hello' : expect.stringMatching(/chain too long/));
  });

  it('shows the certificate that it was given to upstreams that ask', async () => {
    const client = root.issue({ name: 'gateway' });
    const options = { requestCert: true, rejectUnauthorized: true, ca: root.cert };
    const { port, seen } = await upstream(issued, options);
    const clientCertificate = { id: '1', cert: client.cert, key: client.key };
    expect(await outcome(transportOf(), port, { ...PLAIN, clientCertificate })).toBe('hello');
    expect(seen[0]?.getPeerCertificate().subject.CN).toBe('gateway');
    await expect(ask(transportOf(), port, PLAIN)).rejects.toThrow(UpstreamError);
  });

  it('shares connections among requests of the same trust, identity and name only', async () => {
    const { port, seen } = await upstream();
    const transport = transportOf([root.cert]);
    const client = root.issue({ name: 'gateway' });
    const clientCertificate = { id: '1', cert: client.cert, key: client.key };
    const kinds: UpstreamTls[] = [
      PLAIN,
      { ...PLAIN, serverName: 'other.test' },
      { ...PLAIN, verify: true },
      { ...PLAIN, verify: true, verifyDepth: 1 },
      { ...PLAIN, verify: true, ca: [root.cert] },
      { ...PLAIN, clientCertificate },
      { ...PLAIN, clientCertificate: { ...clientCertificate, id: '2' } },
    ];
    for (const tls of kinds) await ask(transport, port, tls);
    expect(seen).toHaveLength(kinds.length);
    // Other objects of the same content, as new tables may bring them.
    for (const tls of kinds) await ask(transport, port, { ...tls, ca: tls.ca && [...tls.ca] });
    expect(seen).toHaveLength(kinds.length);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'takes up sessions of a target by %s',
    async (version) => {
      const { port, seen } = await upstream(issued, { maxVersion: version });
      const transport = transportOf([root.cert]);
      const tls = { ...PLAIN, verify: true };
      // Two at once, so that each has a connection of its own; then the first two are closed.
      await ask(transport, port, tls);
      for (const socket of seen) socket.destroy();
      await expect.poll(() => outcome(transport, port, tls)).toBe('hello');
      expect(seen.at(-1)?.isSessionReused()).toBe(true);
    },
  );

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'never takes up a session of a connection that was not found good, by %s',
    async (version) => {
      const { port } = await upstream(issued, { maxVersion: version });
      const transport = transportOf();
      const tls = { ...PLAIN, serverName: 'no.test', verify: true, ca: [root.cert] };
      for (let i = 0; i < 3; i += 1) {
        expect(await outcome(transport, port, tls)).toMatch(/no\.test/);
      }
    },
  );

  it('keeps the contexts of no more kinds of trust than its bound', () => {
    const contexts = new UpstreamTlsContexts([]);
    for (let i = 0; i < TRUST_CONTEXTS_MAX + 20; i += 1) {
      const client = { id: String(i), cert: issued.cert, key: issued.key };
      const tls = { ...PLAIN, clientCertificate: client };
      contexts.opener({ address: '127.0.0.1', port: 1, host: 'h', tls, alpn: [] });
    }
    expect(contexts.count).toBe(TRUST_CONTEXTS_MAX);
  });
});
