import { describe, expect, it } from 'vitest';
import { TestConfig, testId } from '../../test/support/builders.ts';
import type { CertificateTable } from './certificates.ts';
import type { Tables } from './tables.ts';

const WS_2 = '00000000-0000-4000-8000-0000000000bb';

function configured(...names: string[]): TestConfig {
  const config = new TestConfig();
  for (const name of names) serve(config, name);
  return config;
}

/** A certificate whose text says under which name it is to be served. */
function serve(config: TestConfig, name: string, ws = config.ws): { id: string; sni: string } {
  const certificate = { id: testId(), cert: `of ${name}`, key: 'k', cert_alt: null, key_alt: null };
  config.put('certificates', certificate, ws);
  const sni = { id: testId(), name, certificate: { id: certificate.id } };
  config.put('snis', sni, ws);
  return { id: certificate.id, sni: sni.id };
}

function found(tables: Tables, name: string): string | null {
  const certificate = tables.certificates.find(name);
  return certificate === null ? null : (certificate.fault ?? certificate.cert);
}

describe('the certificate for a server name', () => {
  // Source: kong/runloop/certificate.lua, produce_wild_snis and find_certificate.
  it.each([
    ['the name itself before any wildcard', ['a.b.c', '*.b.c', 'a.b.*', '*'], 'a.b.c', 'a.b.c'],
    ['a wildcard in front before one behind', ['*.b.c', 'a.b.*', '*'], 'a.b.c', '*.b.c'],
    ['a wildcard behind before any name', ['a.b.*', '*'], 'a.b.c', 'a.b.*'],
    ['the one for any name', ['*', 'x.y'], 'a.b.c', '*'],
    ['none', ['x.y'], 'a.b.c', null],
    ['a wildcard that stands for one label only', ['*.c'], 'a.b.c', null],
    ['no wildcard in front for a name of two labels', ['*.c'], 'b.c', null],
    ['a wildcard behind for a name of two labels', ['b.*'], 'b.c', 'b.*'],
    ['a wildcard behind that stands for the last label only', ['a.*'], 'a.b.c', null],
    ['upper and lower case alike', ['A.b.C'], 'a.B.c', 'A.b.C'],
    ['nothing for an empty label', ['*.b.c', 'a.b.*'], '.b.c', null],
    ['nothing for a dot at the end', ['*.b.c', 'a.b.*'], 'a.b.', null],
    ['nothing for one label', ['*.b', 'b.*'], 'b', null],
    ['nothing for two dots', ['*..c', '*.c'], 'a..c', null],
  ])('is %s', (_why, names, asked, expected) => {
    const tables = configured(...names).tables();
    expect(found(tables, asked)).toBe(expected === null ? null : `of ${expected}`);
  });

  it('is of whatever workspace has the name', () => {
    const config = configured('a.b');
    serve(config, 'c.d', WS_2);
    const tables = config.tables();
    expect([found(tables, 'a.b'), found(tables, 'c.d')]).toEqual(['of a.b', 'of c.d']);
  });

  it('changes with its entities, and stays the same object while they do not', () => {
    const config = configured('a.b');
    const { id, sni } = serve(config, 'c.d');
    const first = config.tables();
    config.route({ paths: ['/'] });
    const second = config.tables(first);
    expect(second.certificates).toBe(first.certificates);

    config.put('certificates', { id, cert: 'renewed', key: 'k' });
    const third = config.tables(second);
    expect(found(third, 'c.d')).toBe('renewed');
    expect(third.certificates.find('a.b')).toBe(first.certificates.find('a.b'));
    expect(found(first, 'c.d')).toBe('of c.d');

    config.remove('snis', sni);
    expect(found(config.tables(third), 'c.d')).toBeNull();
  });
});

describe('a certificate that cannot be served', () => {
  const certificateFault = (certificate: CertificateTable): string | null =>
    certificate.cert.includes('bad') ? 'no good' : null;

  it('is named, closes its names, and takes nothing else down', () => {
    const config = configured('good.x', '*');
    const { id } = serve(config, 'bad.x');
    const tables = config.tables(null, { certificateFault });
    expect(tables.quarantined).toMatchObject([{ kind: 'certificates', id, reason: 'no good' }]);
    expect(found(tables, 'bad.x')).toBe('no good');
    expect([found(tables, 'good.x'), found(tables, 'other.x')]).toEqual(['of good.x', 'of *']);

    config.put('certificates', { id, cert: 'mended', key: 'k' });
    const mended = config.tables(tables, { certificateFault });
    expect(mended.quarantined).toEqual([]);
    expect(found(mended, 'bad.x')).toBe('mended');
  });

  it('is one that is missing: its name gets no other one', () => {
    const config = configured('*');
    config.put('snis', { id: testId(), name: 'lost.x', certificate: { id: testId() } });
    expect(found(config.tables(), 'lost.x')).toMatch(/missing/);
  });

  it('is one whose key could not be opened', () => {
    const config = configured('*');
    const { id } = serve(config, 'shut.x');
    config.shut('certificates', id, 'the group secret is missing');
    const tables = config.tables();
    expect(tables.quarantined).toMatchObject([
      { kind: 'certificates', id, reason: 'the group secret is missing' },
    ]);
    expect(found(tables, 'shut.x')).toMatch(/cannot be used/);
  });

  it('is one that refers to a vault, which nobody asks yet', () => {
    const config = new TestConfig();
    const id = testId();
    config.put('certificates', { id, cert: 'c', key: '{vault://env/key}' });
    expect(config.tables().quarantined[0]?.reason).toMatch(/vault/);
  });
});
