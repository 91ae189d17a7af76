import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { selfSigned } from '#shared/platform/node/tls/self-signed.ts';
import { readPolicy } from './policy.ts';
import { openDefaultCertificate, readTlsSetup } from './setup.ts';
import { TlsTermination } from './termination.ts';
import { ask, listenWith, settingsOf, shownAt, visit } from './tls.suite.ts';

const silent: Logger = { log() {} };
const DAY_MS = 24 * 3600 * 1000;

let folder: string;
const closers: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-tls-setup-'));
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  await rm(folder, { recursive: true });
});

const pairOf = (name: string) =>
  selfSigned({
    name,
    hosts: ['localhost'],
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
  });

async function write(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

async function serve(env: Readonly<Record<string, string>>) {
  const settings = settingsOf(env);
  const fallback = await openDefaultCertificate(settings, folder, silent);
  closers.push(() => fallback.close());
  const policy = readPolicy(settings);
  const termination = new TlsTermination({
    policy,
    clients: null,
    fallback,
    certificates: () => null,
  });
  const listener = await listenWith(termination);
  closers.push(() => termination.close(), listener.close);
  return { termination, port: listener.port };
}

describe('the default certificate', () => {
  it('is made where there is none, kept private, and found again', async () => {
    const { port, termination } = await serve({});
    expect(await shownAt(port, null)).toBe('localhost');
    expect((await stat(join(folder, 'default-tls.key'))).mode & 0o777).toBe(0o600);
    const published = await readFile(join(folder, 'default-tls.pem'), 'utf8');
    expect(published).not.toContain('PRIVATE KEY');
    expect((await serve({})).termination.fallback.cert).toBe(termination.fallback.cert);
  });

  it('follows its files, under connections that are open', async () => {
    const [one, two] = [pairOf('one'), pairOf('two')];
    const cert = await write('cert.pem', one.cert);
    const key = await write('key.pem', one.key);
    const { port, termination } = await serve({ HEADGATE_TLS_CERT: cert, HEADGATE_TLS_KEY: key });
    const before = await visit(port);
    closers.push(() => before.destroy());
    await writeFile(cert, two.cert);
    await writeFile(key, two.key);
    await eventually('the new one is served', async () => (await shownAt(port, null)) === 'two');
    expect(await ask(before)).toBe('HTTP/1.1 200 OK');
    expect(termination.contextFor(null)).not.toBeNull();
  });

  it.each([
    ['a key without its certificate', { HEADGATE_TLS_KEY: 'k' }, /^HEADGATE_TLS_CERT/],
    ['a certificate without its key', { HEADGATE_TLS_CERT: 'c' }, /^HEADGATE_TLS_KEY/],
    [
      'files that are not there',
      { HEADGATE_TLS_CERT: '/nowhere/c', HEADGATE_TLS_KEY: '/nowhere/k' },
      /^HEADGATE_TLS_CERT is "\/nowhere\/c"/,
    ],
  ])('is refused by name: %s', async (_what, env, message) => {
    await expect(serve(env)).rejects.toThrow(message);
  });

  it('is refused by name: a key of another certificate', async () => {
    const cert = await write('cert.pem', pairOf('one').cert);
    const key = await write('key.pem', pairOf('two').key);
    const env = { HEADGATE_TLS_CERT: cert, HEADGATE_TLS_KEY: key };
    await expect(serve(env)).rejects.toThrow(/^HEADGATE_TLS_CERT is ".*mismatch/);
  });
});

describe('settings of TLS', () => {
  const setup = (env: Readonly<Record<string, string>>) => readTlsSetup(settingsOf(env));

  it('trust the authorities of the machine, and ask no client, unless told otherwise', async () => {
    const { trusted, clients, upstream } = await setup({});
    expect(trusted.length).toBeGreaterThan(50);
    expect(new Set(trusted).size).toBe(trusted.length);
    expect(clients).toBeNull();
    expect(upstream).toEqual({ verify: false, verifyDepth: 1, clientCertificate: null });
  });

  it('trust what files name, with the machine’s or without', async () => {
    const { cert } = pairOf('own');
    const path = await write('ca.pem', `# a comment\n${cert}`);
    expect((await setup({ HEADGATE_TRUSTED_CERTIFICATE: path })).trusted).toEqual([cert.trim()]);
    const both = await setup({ HEADGATE_TRUSTED_CERTIFICATE: `system, ${path}` });
    expect(both.trusted.length).toBeGreaterThan(50);
    expect(both.trusted).toContain(cert.trim());
  });

  it('name the certificate that is shown to upstreams', async () => {
    const { cert, key } = pairOf('client');
    const { upstream } = await setup({
      HEADGATE_CLIENT_SSL: 'on',
      HEADGATE_CLIENT_SSL_CERT: await write('cert.pem', cert),
      HEADGATE_CLIENT_SSL_CERT_KEY: await write('key.pem', key),
    });
    expect(upstream.clientCertificate).toMatchObject({ cert: cert.trim(), key });
  });

  it.each([
    ['HEADGATE_SSL_CLIENT_CERTIFICATE', { HEADGATE_SSL_VERIFY_CLIENT: 'on' }],
    ['HEADGATE_CLIENT_SSL_CERT', { HEADGATE_CLIENT_SSL: 'on' }],
    ['HEADGATE_CLIENT_SSL_CERT_KEY', { HEADGATE_CLIENT_SSL: 'on', HEADGATE_CLIENT_SSL_CERT: 'x' }],
    ['HEADGATE_TRUSTED_CERTIFICATE', { HEADGATE_TRUSTED_CERTIFICATE: '/nowhere/ca.pem' }],
  ])('need %s where others ask for it', async (name, env) => {
    await expect(setup(env)).rejects.toThrow(new RegExp(`^${name}\\b`));
  });

  it('are refused by name when a file holds no certificate, or a broken one', async () => {
    const empty = await write('empty.pem', 'nothing');
    const broken = await write(
      'broken.pem',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    );
    for (const path of [empty, broken]) {
      await expect(setup({ HEADGATE_TRUSTED_CERTIFICATE: path })).rejects.toThrow(
        /^HEADGATE_TRUSTED_CERTIFICATE is/,
      );
    }
  });

  it('are refused when the client key is of another certificate', async () => {
    const env = {
      HEADGATE_CLIENT_SSL: 'on',
      HEADGATE_CLIENT_SSL_CERT: await write('cert.pem', pairOf('one').cert),
      HEADGATE_CLIENT_SSL_CERT_KEY: await write('key.pem', pairOf('two').key),
    };
    await expect(setup(env)).rejects.toThrow(/^HEADGATE_CLIENT_SSL_CERT_KEY is/);
  });
});
