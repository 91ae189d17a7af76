/** Standbys of a test's PostgreSQL server, its tools, and the one address behind which they change places. */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { must } from '#shared/base/assert.ts';
import { eventually } from './eventually.ts';
import { accountFor, findBinaries, freePort, serve, untilReady } from './postgres.ts';

const run = promisify(execFile);

/** Runs one of PostgreSQL's own tools against a database. */
export async function postgresTool(name: string, args: readonly string[]): Promise<void> {
  await run(join(must(findBinaries(), 'PostgreSQL'), name), [...args], { cwd: '/' });
}

export async function sql<R>(url: string, text: string): Promise<R[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    // The caller vouches for the shape.
    return (await client.query(text)).rows as R[];
  } finally {
    await client.end();
  }
}

export interface Standby {
  /** Of the same database as the primary's address. */
  readonly url: string;
  readonly port: number;
  /** Cuts it off: what the primary commits from here on is lost with it. */
  detach(): Promise<void>;
  promote(): Promise<void>;
  /** SIGKILL, children included by their own notice. */
  kill(): Promise<void>;
}

/** An asynchronous standby, streaming, as `pg_basebackup` makes one. */
export async function startStandby(primaryUrl: string): Promise<Standby> {
  const binaries = must(findBinaries(), 'PostgreSQL');
  const primary = new URL(primaryUrl);
  const folder = await mkdtemp(join(tmpdir(), 'headgate-standby-'));
  const account = await accountFor(folder);
  if (account !== null) await chown(folder, account.uid, account.gid);
  const data = join(folder, 'data');
  const where = ['-h', primary.hostname, '-p', primary.port, '-U', primary.username];
  await run(
    join(binaries, 'pg_basebackup'),
    ['-D', data, ...where, '-R', '-X', 'stream', '-c', 'fast'],
    {
      ...account,
      cwd: '/',
      env: { PGPASSWORD: primary.password, PATH: process.env['PATH'] },
    },
  );
  const port = await freePort();
  const server: ChildProcess = serve(join(binaries, 'postgres'), data, { port, account });
  const url = new URL(primaryUrl);
  url.port = String(port);
  await untilReady(server, url.href);
  return {
    url: url.href,
    port,
    async detach() {
      await sql(url.href, "ALTER SYSTEM SET primary_conninfo = ''");
      await sql(url.href, 'SELECT pg_reload_conf()');
      await eventually('the standby is cut off', async () => {
        const rows = await sql(url.href, 'SELECT 1 FROM pg_stat_wal_receiver');
        return rows.length === 0;
      });
    },
    async promote() {
      await sql(url.href, 'SELECT pg_promote(true, 30)');
    },
    async kill() {
      server.kill('SIGQUIT');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One address in front of whichever server is the primary. */
export class Switch {
  readonly #server = createServer((client) => this.#accept(client));
  readonly #sockets = new Set<Socket>();
  #target: number;

  constructor(target: number) {
    this.#target = target;
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  /** Connections to the former one are broken. */
  to(target: number): void {
    this.#target = target;
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.to(0);
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    const upstream = connect(this.#target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  }
}
