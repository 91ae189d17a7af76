import { describe, expect, it } from 'vitest';
import { TestConfig, testId } from '../../test/support/builders.ts';
import { HeaderList } from '../http/headers.ts';
import { bindRoute } from './bind-route.ts';
import type { RouteTable, Tables } from './tables.ts';

const SYSTEM_WS = '00000000-0000-0000-0000-000000000000';

function authority(config: TestConfig, cert: string, id = testId()): string {
  config.put('ca_certificates', { id, cert }, SYSTEM_WS);
  return id;
}

function clientCertificate(config: TestConfig, name: string): { id: string } {
  const id = testId();
  config.put('certificates', { id, cert: `of ${name}`, key: 'k' });
  return { id };
}

function bound(tables: Tables, path = '/'): RouteTable | null {
  const match = tables.router.match({
    method: 'GET',
    host: 'h',
    path,
    query: null,
    scheme: 'http',
    headers: new HeaderList(),
    sni: null,
    sourceAddress: '127.0.0.1',
    sourcePort: 1,
    address: '127.0.0.1',
    port: 80,
  });
  return match === null ? null : bindRoute(match.entry, tables);
}

describe('TLS to upstreams', () => {
  it('says nothing of trust and identity unless an entity does', () => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'https' });
    config.route({ paths: ['/'], service: { id: service.id } });
    const tls = bound(config.tables())?.target?.tls?.named('a.b');
    expect(tls).toEqual({
      serverName: 'a.b',
      verify: false,
      verifyDepth: 1,
      ca: null,
      clientCertificate: null,
    });
  });

  it('is what the service says, the same object for the same name', () => {
    const config = new TestConfig();
    const [one, two] = [authority(config, 'one'), authority(config, 'two')];
    const { id } = clientCertificate(config, 'client.x');
    const service = config.service({
      protocol: 'https',
      tls_verify: true,
      tls_verify_depth: 3,
      ca_certificates: [two, one],
      client_certificate: { id },
    });
    config.route({ paths: ['/'], service: { id: service.id } });
    const tables = config.tables();
    const tls = bound(tables)?.target?.tls;
    expect(tls?.named('a.b')).toMatchObject({
      verify: true,
      verifyDepth: 3,
      ca: ['two', 'one'],
      clientCertificate: { cert: 'of client.x', key: 'k' },
    });
    expect(tls?.named('a.b')).toBe(tls?.named('a.b'));
    config.consumer('someone');
    expect(bound(config.tables(tables))?.target?.tls).toBe(tls);
    authority(config, 'renewed', one);
    const renewed = bound(config.tables(tables))?.target?.tls;
    expect(renewed?.named('a.b').ca).toEqual(['two', 'renewed']);
  });

  it('is what the process says where entities do not', () => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'https' });
    config.route({ paths: ['/'], service: { id: service.id } });
    const shown = { id: 'x', cert: 'c', key: 'k' };
    const upstreamTls = { verify: true, verifyDepth: 2, clientCertificate: shown };
    const tables = config.tables(null, { upstreamTls });
    expect(bound(tables)?.target?.tls?.named(null)).toMatchObject(upstreamTls);
  });

  it('shows the certificate of the service before that of its upstream', () => {
    const config = new TestConfig();
    const [own, shared] = [
      clientCertificate(config, 'own.x'),
      clientCertificate(config, 'shared.x'),
    ];
    config.add('upstreams', { name: 'up.test', client_certificate: { id: shared.id } });
    const plain = config.service({ protocol: 'https', host: 'up.test' });
    const special = config.service({
      protocol: 'https',
      host: 'up.test',
      client_certificate: { id: own.id },
    });
    config.route({ paths: ['/plain'], service: { id: plain.id } });
    config.route({ paths: ['/special'], service: { id: special.id } });
    const tables = config.tables();
    const shown = (path: string) =>
      bound(tables, path)?.target?.tls?.named(null).clientCertificate?.cert;
    expect([shown('/plain'), shown('/special')]).toEqual(['of shared.x', 'of own.x']);
  });

  it.each([
    ['a CA certificate', { tls_verify: true, ca_certificates: [testId()] }],
    ['a client certificate', { client_certificate: { id: testId() } }],
  ])('is not spoken without %s that is asked for', (_what, input) => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'https', ...input });
    config.route({ paths: ['/'], service: { id: service.id } });
    expect(bound(config.tables())?.fault).toMatch(/missing/);
  });

  it.each([
    ['CA certificates', { tls_verify: true, ca_certificates: [testId()] }],
    ['tls_verify_depth', { tls_verify: true, tls_verify_depth: 2 }],
    ['client certificates', { client_certificate: { id: testId() } }],
  ])('closes a service at the edge that needs %s, by name', (what, input) => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'https', ...input });
    config.route({ paths: ['/'], service: { id: service.id } });
    const tables = config.tables(null, { runtime: 'edge' });
    const reason = expect.stringContaining(what);
    expect(tables.quarantined).toMatchObject([{ kind: 'services', id: service.id, reason }]);
    expect(bound(tables)?.fault).toEqual(reason);
  });

  it('closes a service at the edge whose upstream has a client certificate, and names that', () => {
    const config = new TestConfig();
    const certificate = clientCertificate(config, 'client.x');
    const upstream = config.add('upstreams', { name: 'up.test', client_certificate: certificate });
    const [safe, plain] = (['https', 'http'] as const).map((protocol) =>
      config.service({ protocol, host: 'up.test' }),
    );
    config.route({ paths: ['/safe'], service: { id: String(safe?.id) } });
    config.route({ paths: ['/plain'], service: { id: String(plain?.id) } });
    const tables = config.tables(null, { runtime: 'edge' });
    const reason = expect.stringContaining('client certificates');
    expect(tables.quarantined).toMatchObject([{ kind: 'upstreams', id: upstream.id, reason }]);
    expect(bound(tables, '/safe')?.fault).toEqual(reason);
    expect(bound(tables, '/plain')?.fault).toBeNull();
  });

  it('is verified at the edge where it should not be, and that is said', () => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'https', tls_verify: false });
    config.route({ paths: ['/'], service: { id: service.id } });
    const tables = config.tables(null, { runtime: 'edge' });
    expect(tables.quarantined[0]?.reason).toMatch(/always verified/);
    expect(bound(tables)?.fault).toBeNull();
  });

  it('does not take authorities for a workspace', () => {
    const config = new TestConfig();
    config.route({ paths: ['/'] });
    authority(config, 'one');
    expect([...config.tables().workspaces.keys()]).toEqual([config.ws]);
  });
});
