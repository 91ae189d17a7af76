import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TestConfig, testId } from '../../test/support/builders.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { type Issued, TestAuthority } from '../../test/support/pki.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { openH2, sendH2 } from '../h2/client.suite.ts';
import { TcpListener } from '../stream/tcp-listener.ts';
import { CertificateContexts } from './contexts.ts';
import { distinguishedName } from './peer-certificate.ts';
import { readPolicy } from './policy.ts';
import type { ClientVerification, TlsTermination } from './termination.ts';
import {
  ask,
  listenWith,
  settingsOf,
  shownAt,
  terminationOf,
  type TestListener,
  visit,
} from './tls.suite.ts';

describe.skipIf(!hasOpenssl())('a listener with TLS', () => {
  let root: TestAuthority;
  let fallback: Issued;
  let clientIssued: Issued;
  const closers: (() => unknown)[] = [];

  beforeAll(() => {
    root = TestAuthority.root();
    fallback = root.issue({ name: 'default.test' });
    clientIssued = root.issue({ name: 'client, "one"', hosts: ['client.test'] });
  });
  afterEach(async () => {
    for (const close of closers.splice(0).toReversed()) await close();
  });

  async function listen(termination: TlsTermination): Promise<TestListener> {
    const listener = await listenWith(termination);
    closers.push(() => termination.close(), listener.close);
    return listener;
  }

  const client = async (port: number, options?: ConnectionOptions): Promise<TLSSocket> => {
    const socket = await visit(port, options);
    closers.push(() => socket.destroy());
    return socket;
  };

  /** Serves tables that a test may replace. */
  async function serving(config: TestConfig) {
    const contexts = new CertificateContexts(readPolicy(settingsOf()));
    const deps = { certificateFault: contexts.fault.bind(contexts) };
    let tables: Tables = config.tables(null, deps);
    const termination = terminationOf(fallback, { certificates: () => tables.certificates });
    const { port } = await listen(termination);
    return {
      port,
      termination,
      tables: () => tables,
      swap: () => (tables = config.tables(tables, deps)),
    };
  }

  function put(config: TestConfig, issued: Issued, ...names: string[]): string {
    const certificate = config.add('certificates', { cert: issued.chain, key: issued.key });
    for (const name of names) {
      config.add('snis', { name, certificate: { id: certificate.id } });
    }
    return certificate.id;
  }

  it('serves each name its certificate, and all others the default', async () => {
    const config = new TestConfig();
    put(config, root.issue({ name: 'one.test' }), 'one.test', '*.wild.test');
    put(config, root.issue({ name: 'two.test' }), 'two.*');
    const { port } = await serving(config);
    expect(await shownAt(port, 'one.test')).toBe('one.test');
    expect(await shownAt(port, 'ONE.test')).toBe('one.test');
    expect(await shownAt(port, 'x.wild.test')).toBe('one.test');
    expect(await shownAt(port, 'two.example')).toBe('two.test');
    expect(await shownAt(port, 'other.test')).toBe('default.test');
    expect(await shownAt(port, null)).toBe('default.test');
  });

  it('serves a new certificate from the next handshake on, and the default when it is gone', async () => {
    const config = new TestConfig();
    const { port, swap } = await serving(config);
    const before = await client(port, { servername: 'new.test' });
    const id = put(config, root.issue({ name: 'new.test' }), 'new.test');
    swap();
    expect(await shownAt(port, 'new.test')).toBe('new.test');
    const renewed = root.issue({ name: 'renewed.test' });
    config.put('certificates', { id, cert: renewed.cert, key: renewed.key });
    swap();
    expect(await shownAt(port, 'new.test')).toBe('renewed.test');
    config.put('snis', { id: testId(), name: 'other.test', certificate: { id } });
    swap();
    expect(await ask(before)).toBe('HTTP/1.1 200 OK');
    expect(String(before.getPeerCertificate().subject.CN)).toBe('default.test');
  });

  it('serves RSA and ECDSA under one name, to whoever can do with it', async () => {
    const config = new TestConfig();
    const [rsa, ec] = [
      root.issue({ name: 'rsa.test', type: 'rsa' }),
      root.issue({ name: 'ec.test' }),
    ];
    const certificate = config.add('certificates', {
      cert: rsa.cert,
      key: rsa.key,
      cert_alt: ec.cert,
      key_alt: ec.key,
    });
    config.add('snis', { name: 'both.test', certificate: { id: certificate.id } });
    const { port } = await serving(config);
    const shown = async (ciphers: string): Promise<string> => {
      const options = { servername: 'both.test', maxVersion: 'TLSv1.2', ciphers } as const;
      return String((await client(port, options)).getPeerCertificate().subject.CN);
    };
    expect(await shown('ECDHE-RSA-AES128-GCM-SHA256')).toBe('rsa.test');
    expect(await shown('ECDHE-ECDSA-AES128-GCM-SHA256')).toBe('ec.test');
  });

  it('speaks HTTP/2 under each of its certificates with who offers it', async () => {
    const config = new TestConfig();
    put(config, root.issue({ name: 'localhost' }), 'localhost');
    const { port } = await serving(config);
    for (const host of ['localhost', '127.0.0.1']) {
      const session = await openH2(`https://${host}:${port}`);
      expect(await sendH2(session, { ':authority': 'h' })).toMatchObject({ status: 200 });
      expect(session.alpnProtocol).toBe('h2');
      session.destroy();
    }
  });

  it('serves a name its own certificate where the client would rather have the type of the default', async () => {
    const config = new TestConfig();
    put(config, root.issue({ name: 'rsa.test', type: 'rsa' }), 'rsa.test');
    const { port } = await serving(config);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await client(port, { servername: 'rsa.test', maxVersion });
      expect(String(socket.getPeerCertificate().subject.CN)).toBe('rsa.test');
      const only = { servername: 'rsa.test', maxVersion, sigalgs: 'ecdsa_secp256r1_sha256' };
      await expect(visit(port, only)).rejects.toThrow();
    }
  });

  it('closes the names of a broken certificate, names it, and goes on with all others', async () => {
    const config = new TestConfig();
    put(config, root.issue({ name: 'good.test' }), 'good.test');
    const id = testId();
    const { cert } = root.issue({ name: 'broken.test' });
    config.put('certificates', { id, cert, key: fallback.key });
    config.put('snis', { id: testId(), name: 'broken.test', certificate: { id } });
    const { port, tables } = await serving(config);
    expect(tables().quarantined).toMatchObject([
      { kind: 'certificates', id, reason: expect.stringContaining('key values mismatch') },
    ]);
    await expect(visit(port, { servername: 'broken.test' })).rejects.toThrow();
    expect(await shownAt(port, 'good.test')).toBe('good.test');
    expect(await shownAt(port, null)).toBe('default.test');
  });

  it('keeps the contexts of no more certificates than its bound', () => {
    const contexts = new CertificateContexts(readPolicy(settingsOf()), 3);
    const tableOf = (hash: string) => ({ ...fallback, hash, alt: null, fault: null });
    const tables = ['a', 'b', 'c', 'd'].map(tableOf);
    const [first] = tables.map((table) => contexts.of(table));
    expect(contexts.count).toBe(3);
    const [a, b, , d] = tables;
    if (a === undefined || b === undefined || d === undefined) throw new Error('four tables');
    expect(contexts.of(a)).not.toBe(first);
    expect(contexts.of(d)).toBe(contexts.of(d));
  });

  describe('speaks', () => {
    it.each([
      ['intermediate', 'TLSv1.1', false],
      ['intermediate', 'TLSv1.2', true],
      ['intermediate', 'TLSv1.3', true],
      ['modern', 'TLSv1.2', false],
      ['modern', 'TLSv1.3', true],
      ['old', 'TLSv1.1', true],
    ] as const)('by the suite %s %s: %s', async (suite, version, isSpoken) => {
      const env = { HEADGATE_SSL_CIPHER_SUITE: suite };
      const { port } = await listen(terminationOf(fallback, { env }));
      const only = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
      const visited = await client(port, only).then(
        (socket) => socket.getProtocol(),
        () => null,
      );
      expect(visited).toBe(isSpoken ? version : null);
    });

    it('no renegotiation', async () => {
      const { port } = await listen(terminationOf(fallback));
      const socket = await client(port, { maxVersion: 'TLSv1.2' });
      const outcome = await new Promise<string>((resolve) => {
        socket.once('error', () => resolve('refused'));
        socket.once('close', () => resolve('refused'));
        socket.renegotiate({}, (error) => resolve(error === null ? 'renegotiated' : 'refused'));
      });
      expect(outcome).toBe('refused');
    });
  });

  describe('lets sessions be resumed', () => {
    /** The last ticket of a visit. */
    async function ticketOf(port: number, options: ConnectionOptions = {}): Promise<Buffer> {
      const tickets: Buffer[] = [];
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
      closers.push(() => socket.destroy());
      socket.on('session', (ticket) => tickets.push(ticket));
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      await ask(socket);
      const last = tickets.at(-1);
      if (last === undefined) throw new Error('no ticket came');
      return last;
    }
    const isResumed = async (port: number, session: Buffer, options?: ConnectionOptions) =>
      (await client(port, { session, ...options })).isSessionReused();

    it.each(['TLSv1.2', 'TLSv1.3'] as const)('on any of its ports, by %s', async (maxVersion) => {
      const config = new TestConfig();
      put(config, root.issue({ name: 'one.test' }), 'one.test');
      const tables = config.tables();
      const termination = terminationOf(fallback, { certificates: () => tables.certificates });
      const [one, two] = [await listen(termination), await listenWith(termination)];
      closers.push(two.close);
      for (const options of [{ maxVersion }, { maxVersion, servername: 'one.test' }]) {
        const ticket = await ticketOf(one.port, options);
        expect(await isResumed(one.port, ticket, options)).toBe(true);
        expect(await isResumed(two.port, ticket, options)).toBe(true);
      }
    });

    it('until the keys of the tickets are replaced', async () => {
      const termination = terminationOf(fallback);
      const { port } = await listen(termination);
      const ticket = await ticketOf(port);
      termination.tickets.rotate();
      expect(await isResumed(port, ticket)).toBe(false);
      expect(await isResumed(port, await ticketOf(port))).toBe(true);
    });

    it('with the client certificate that they began with, and not without one', async () => {
      const clients = { mode: 'on', ca: root.cert } as const;
      const { port, seen } = await listen(terminationOf(fallback, { clients }));
      const shown = { cert: clientIssued.cert, key: clientIssued.key };
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const ticket = await ticketOf(port, { ...shown, maxVersion });
        expect(await isResumed(port, ticket, { maxVersion })).toBe(true);
        expect(seen.at(-1)?.tls?.clientCertificate).toMatchObject({ fault: null });
        // A handshake that was not admitted may have left a ticket all the same.
        const tickets: Buffer[] = [];
        const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, maxVersion });
        socket.on('session', (session) => tickets.push(session)).on('error', () => {});
        await new Promise((resolve) => socket.once('close', resolve));
        for (const session of tickets) {
          await expect(visit(port, { session, maxVersion })).rejects.toThrow();
        }
      }
    });
  });

  describe('asks for a client certificate', () => {
    let good: ConnectionOptions;
    let strange: ConnectionOptions;
    let deep: ConnectionOptions;

    beforeAll(() => {
      const stranger = TestAuthority.root('Stranger').issue({ name: 'stranger' });
      const chain = root.authority('Middle').authority('Lower').issue({ name: 'deep' });
      good = { cert: clientIssued.cert, key: clientIssued.key };
      strange = { cert: stranger.cert, key: stranger.key };
      deep = { cert: chain.chain, key: chain.key };
    });

    it.each([
      ['on', 'good', true],
      ['on', 'none', false],
      ['on', 'strange', false],
      ['on', 'deep', true],
      ['optional', 'good', true],
      ['optional', 'none', true],
      ['optional', 'strange', false],
      ['optional_no_ca', 'good', true],
      ['optional_no_ca', 'none', true],
      ['optional_no_ca', 'strange', true],
    ] as const)('%s: %s → %s', async (mode, who, isAdmitted) => {
      const clients: ClientVerification = { mode, ca: root.cert };
      const { port, seen } = await listen(terminationOf(fallback, { clients }));
      const certificates = { good, strange, deep, none: {} };
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const visited = client(port, { ...certificates[who], maxVersion }).then(
          () => true,
          () => false,
        );
        expect(await visited).toBe(isAdmitted);
      }
      expect(seen.length > 0).toBe(isAdmitted);
    });

    it.each([
      ['on', 0],
      ['optional', 1],
      ['optional_no_ca', 1],
    ] as const)('of streams, which cannot ask: %s', async (mode, sessions) => {
      const clients: ClientVerification = { mode, ca: root.cert };
      const tls = terminationOf(fallback, { clients });
      let terminated = 0;
      const listener = new TcpListener({
        listen: { host: '127.0.0.1', port: 0, tls: true },
        sessionsMax: 10,
        contextFor: (name) => tls.contextFor(name),
        believesPeer: () => false,
        handle: async (session) => {
          await session.terminateTls().then(
            () => (terminated += 1),
            () => {},
          );
          return null;
        },
      });
      const { port } = await listener.start();
      await expect(visit(port)).rejects.toThrow();
      await expect(visit(port, good)).rejects.toThrow();
      expect(terminated).toBe(2 * sessions);
      await listener.drain(0);
    });

    it('by the certificates of names as by the default', async () => {
      const config = new TestConfig();
      put(config, root.issue({ name: 'one.test' }), 'one.test');
      const tables = config.tables();
      const clients: ClientVerification = { mode: 'on', ca: root.cert };
      const certificates = () => tables.certificates;
      const { port } = await listen(terminationOf(fallback, { clients, certificates }));
      await client(port, { ...good, servername: 'one.test' });
      await expect(visit(port, { servername: 'one.test' })).rejects.toThrow();
      await expect(visit(port, { ...strange, servername: 'one.test' })).rejects.toThrow();
    });

    it('and tells the gateway what it saw', async () => {
      const clients: ClientVerification = { mode: 'optional_no_ca', ca: root.cert };
      const { port, seen } = await listen(terminationOf(fallback, { clients }));
      const facts = async (options: ConnectionOptions) => {
        await client(port, options);
        return seen.at(-1)?.tls?.clientCertificate ?? null;
      };
      expect(await facts(good)).toMatchObject({
        subject: 'CN=client\\, \\"one\\",O=Headgate',
        issuer: 'CN=Test Root,O=Headgate',
        fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
        serial: expect.stringMatching(/^[0-9A-F]+$/),
        fault: null,
      });
      expect((await facts(good))?.pem?.trim()).toBe(clientIssued.cert.trim());
      expect((await facts(strange))?.fault).toMatch(/UNABLE_TO_/);
      expect(await facts({})).toBeNull();
    });
  });
});

describe('a distinguished name', () => {
  it.each([
    ['C=DE\nO=A\\, B\nCN=c', 'CN=c,O=A\\, B,C=DE'],
    ['', ''],
  ])('%j is %j', (lines, name) => {
    expect(distinguishedName(lines)).toBe(name);
  });
});
