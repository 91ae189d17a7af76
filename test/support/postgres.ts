/** A PostgreSQL server of its own for a test file: Debian's binaries, a temporary folder, a free port. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { must } from '#shared/base/assert.ts';

const run = promisify(execFile);

const START_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
const USER = 'headgate';

export interface Postgres {
  /** Of the maintenance database. */
  readonly url: string;
  readonly port: number;
  /** Makes an empty database. @returns its URL */
  createDatabase(): Promise<string>;
  /** SIGKILL to the server and all its processes at once; what was committed is still there. */
  kill(): Promise<void>;
  /** After `kill`: the same data on the same port. Resolves when it answers. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface MissingPostgres {
  /** What to install. */
  readonly missing: string;
}

/**
 * Starts a server (password authentication as in production), or says what is missing. In CI a
 * missing server is a failure, not a skip.
 */
export async function startPostgres(): Promise<Postgres | MissingPostgres> {
  const binaries = findBinaries();
  if (binaries === null) {
    const missing = 'SKIPPED: no PostgreSQL server found; install the Debian package postgresql';
    if (process.env['CI'] !== undefined) throw new Error(missing);
    console.warn(missing);
    return { missing };
  }
  const folder = await mkdtemp(join(tmpdir(), 'headgate-postgres-'));
  const password = randomBytes(16).toString('hex');
  const account = await accountFor(folder);
  const data = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, password);
  if (account !== null) await chown(passwordFile, account.uid, account.gid);
  const init = ['-D', data, '-U', USER, '-A', 'scram-sha-256', '--pwfile', passwordFile];
  const options = ['-E', 'UTF8', '--locale=C', '--no-sync'];
  await asAccount(join(binaries, 'initdb'), [...init, ...options], account);
  const port = await freePort();
  const start = (): ChildProcess => serve(join(binaries, 'postgres'), data, { port, account });
  let server = start();
  const base = `postgres://${USER}:${password}@127.0.0.1:${port}`;
  await untilReady(server, `${base}/postgres`);
  return {
    url: `${base}/postgres`,
    port,
    async createDatabase() {
      const name = `test_${randomBytes(6).toString('hex')}`;
      await query(`${base}/postgres`, `CREATE DATABASE ${name}`);
      return `${base}/${name}`;
    },
    async kill() {
      // Those that outlive it would keep the next one from starting.
      const pid = must(server.pid, 'a running server');
      const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
      const pids = [pid, ...children.trim().split(' ').filter(Boolean).map(Number)];
      for (const each of pids) killIfThere(each);
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    },
    async restart() {
      server = start();
      await untilReady(server, `${base}/postgres`);
    },
    async stop() {
      // Immediate shutdown: nothing in it is kept.
      server.kill('SIGQUIT');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Debian keeps them out of PATH, by major version; the newest wins. */
export function findBinaries(): string | null {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root)
    ? readdirSync(root).toSorted((a, b) => Number(b) - Number(a))
    : [];
  const folders = versions.map((version) => join(root, version, 'bin'));
  folders.push(...(process.env['PATH'] ?? '').split(delimiter));
  return folders.find(isComplete) ?? null;
}

function isComplete(folder: string): boolean {
  return ['postgres', 'initdb'].every((name) => existsSync(join(folder, name)));
}

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root: then Debian's account runs it. Null: no need to change. */
export async function accountFor(folder: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'postgres'])).stdout)),
  );
  const account = { uid: must(uid, 'an account'), gid: must(gid, 'a group') };
  await chown(folder, account.uid, account.gid);
  return account;
}

async function asAccount(file: string, args: string[], account: Account | null): Promise<void> {
  await run(file, args, { ...account, cwd: '/' });
}

export function serve(
  file: string,
  data: string,
  options: { port: number; account: Account | null },
): ChildProcess {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(options.port),
    unix_socket_directories: '',
    // Nothing here needs to survive the machine.
    fsync: 'off',
    max_connections: '100',
    deadlock_timeout: '100ms',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(file, ['-D', data, ...args], {
    ...options.account,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const kill = (): void => void server.kill('SIGQUIT');
  process.once('exit', kill);
  server.once('exit', () => process.off('exit', kill));
  return server;
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export async function untilReady(server: ChildProcess, url: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      await query(url, 'SELECT 1');
      return;
    } catch (error) {
      if (server.exitCode !== null) throw new Error('PostgreSQL did not start', { cause: error });
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url });
  try {
    await client.connect();
    await client.query(text);
  } finally {
    await client.end();
  }
}
