/** Certificates that are replaced while real TLS connections are open. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../platform.ts';
import { LiveCertificate, TLS_OPTIONS } from './live-certificate.ts';
import { filesSource, ownSource, type OwnCertificate, type PairSource } from './pair-source.ts';
import { type PemPair, selfSigned } from './self-signed.ts';

const DAY_MS = 24 * 3600 * 1000;

const OWN: OwnCertificate = {
  name: 'own',
  pairFile: 'own.key',
  certificateFile: 'own.pem',
};

let folder: string;
let files: { cert: string; key: string };
let lines: string[];
/** How often the files were looked at. */
let looks: number;
const logger: Logger = { log: (level, message) => lines.push(`${level}: ${message}`) };
const closers: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-tls-'));
  files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  lines = [];
  looks = 0;
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  await rm(folder, { recursive: true, force: true });
});

function pair(days = 10): PemPair {
  const notBefore = new Date(Date.now() - 5 * DAY_MS);
  const notAfter = new Date(Date.now() + days * DAY_MS);
  return selfSigned({ name: 'test', hosts: ['localhost'], notBefore, notAfter });
}

async function put({ cert, key }: PemPair): Promise<void> {
  await writeFile(files.cert, cert);
  await writeFile(files.key, key);
}

function source(): PairSource {
  const from = filesSource(
    { setting: 'HEADGATE_TLS_CERT', path: files.cert },
    { setting: 'HEADGATE_TLS_KEY', path: files.key },
  );
  return {
    paths: from.paths,
    load: () => {
      looks++;
      return from.load();
    },
  };
}

/** A server that sends back what it gets. */
async function serve(more: object = {}): Promise<{ server: Server; live: LiveCertificate }> {
  const live = await LiveCertificate.open({ source: source(), logger, ...more });
  const server = createServer({ ...TLS_OPTIONS, ...live.pair }, (socket) => socket.pipe(socket));
  live.serve(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(
    () => live.close(),
    async () => server.close(),
  );
  return { server, live };
}

async function dial(server: Server): Promise<TLSSocket> {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens on a port');
  const socket = connect({ host: '127.0.0.1', port: address.port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  closers.push(async () => socket.destroy());
  return socket;
}

/** Which certificate a new connection sees. */
async function shown(server: Server): Promise<string> {
  const socket = await dial(server);
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

function printOf({ cert }: PemPair): string {
  return new X509Certificate(cert).fingerprint256;
}

async function echo(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text);
  const [data] = (await once(socket, 'data')) as [Buffer];
  return data.toString();
}

describe('a certificate whose files change', () => {
  it('is the new one for new connections, and the old ones go on', async () => {
    const [old, next] = [pair(), pair()];
    await put(old);
    const { server } = await serve();
    const open = await dial(server);
    expect(await shown(server)).toBe(printOf(old));

    await put(next);
    await expect.poll(() => shown(server), { timeout: 5_000 }).toBe(printOf(next));

    expect(await echo(open, 'still here')).toBe('still here');
    expect(open.getPeerCertificate().fingerprint256).toBe(printOf(old));
    expect(lines).toEqual(['info: certificate replaced']);
  });

  it('is noticed without word of the system too', async () => {
    await put(pair());
    const { server } = await serve({ isWatching: false, pollMs: 50 });
    const next = pair();
    await put(next);
    await expect.poll(() => shown(server), { timeout: 5_000 }).toBe(printOf(next));
  });

  it('is noticed where a link to a folder is swapped, as Kubernetes does', async () => {
    const [old, next] = [pair(), pair()];
    for (const [name, each] of Object.entries({ old, next })) {
      await writeFile(join(folder, `${name}.pem`), each.cert);
      await writeFile(join(folder, `${name}.key`), each.key);
    }
    await symlink('old.pem', files.cert);
    await symlink('old.key', files.key);
    const { server } = await serve({ pollMs: 60_000 });
    for (const [target, path] of [
      ['next.key', files.key],
      ['next.pem', files.cert],
    ] as const) {
      await symlink(target, join(folder, 'fresh'));
      await rename(join(folder, 'fresh'), path);
    }
    await expect.poll(() => shown(server), { timeout: 5_000 }).toBe(printOf(next));
  });

  it.each([
    ['of which one file is of another pair', async () => writeFile(files.cert, pair().cert)],
    ['that is no PEM', async () => writeFile(files.cert, 'nonsense')],
    ['that is gone', async () => rm(files.cert)],
    ['that has expired', async () => put(pair(-1))],
  ])('stays what it was when a new pair comes %s', async (_name, breakIt) => {
    const old = pair();
    await put(old);
    const { server } = await serve({ pollMs: 50 });
    await breakIt();
    const refused = 'error: new certificate refused, the old one stays';
    await expect.poll(() => lines, { timeout: 5_000 }).toEqual([refused]);
    const seen = looks;
    await expect.poll(() => looks, { timeout: 5_000 }).toBeGreaterThan(seen + 3);
    expect(await shown(server)).toBe(printOf(old));

    const next = pair();
    await put(next);
    await expect.poll(() => shown(server), { timeout: 5_000 }).toBe(printOf(next));
    // It was named once, however often it was looked at.
    expect(lines).toEqual([refused, 'info: certificate replaced']);
  });

  it('must be good to begin with', async () => {
    await put({ cert: pair().cert, key: pair().key });
    await expect(serve()).rejects.toThrow(/key values mismatch/);
    await rm(files.key);
    await expect(serve()).rejects.toThrow(/^HEADGATE_TLS_KEY is ".*no such file/);
  });
});

describe('a certificate of one’s own', () => {
  const path = () => join(folder, OWN.pairFile);

  it('is made once, for its owner’s eyes only', async () => {
    const own = ownSource(folder, OWN, Date.now);
    const made = await own.load();
    expect((await stat(path())).mode & 0o777).toBe(0o600);
    expect(await own.load()).toEqual(made);
    const published = await readFile(join(folder, OWN.certificateFile), 'utf8');
    expect(new X509Certificate(published).raw).toEqual(new X509Certificate(made.cert).raw);
    expect(published).not.toContain('PRIVATE KEY');
    const parsed = new X509Certificate(made.cert);
    expect(parsed.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(parsed.checkHost('localhost')).toBe('localhost');
  });

  it('is renewed in time', async () => {
    const made = await ownSource(folder, OWN, Date.now).load();
    const later = (days: number) => ownSource(folder, OWN, () => Date.now() + days * DAY_MS).load();
    expect(await later(334)).toEqual(made);
    const renewed = await later(336);
    expect(renewed).not.toEqual(made);
    expect(await readFile(path(), 'utf8')).toBe(renewed.cert);
  });

  it('is made anew when its file is damaged', async () => {
    const own = ownSource(folder, OWN, Date.now);
    const made = await own.load();
    await writeFile(path(), `${pair().key}${made.cert}`);
    expect((await own.load()).cert).toContain('BEGIN PRIVATE KEY');
    const again = await own.load();
    expect(again).not.toEqual(made);
    expect(await own.load()).toEqual(again);
  });
});
