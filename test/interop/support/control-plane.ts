/** Control planes to run clients against: a process of its own on an empty database, per run. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Postgres, startPostgres } from '../../support/postgres.ts';
import { type Ended, type Program, startProgram } from '../../support/program.ts';

export const DATABASES = ['pglite', 'postgres'] as const;
export type DatabaseName = (typeof DATABASES)[number];

const OBITUARY_LENGTH_MAX = 4000;

export interface ControlPlane {
  /** `http://127.0.0.1:40123` */
  readonly url: string;
  /** CPU time that its process has used, user and system. */
  cpuMs(): number;
  /** Stops it. @throws with what it said last, when it had ended by itself */
  stop(): Promise<void>;
}

/** Starts one; resolves when its Admin API answers. @throws when there is no PostgreSQL server to start */
export async function startControlPlane(
  database: DatabaseName,
  settings: Readonly<Record<string, string>> = {},
): Promise<ControlPlane> {
  // An end by signal takes the PostgreSQL server along; the control plane goes by itself.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const folder = await mkdtemp(join(tmpdir(), 'headgate-interop-'));
  const postgres = database === 'postgres' ? await serverOrThrow() : null;
  const clean = async (): Promise<void> => {
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const program = await startProgram('cp', {
      HEADGATE_DATA_DIR: folder,
      HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
      HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      // The clients configure every plugin of Kong, also those that no data plane can run yet.
      HEADGATE_ALLOW_UNSUPPORTED_PLUGINS: 'on',
      ...(postgres === null ? {} : await databaseSettings(postgres)),
      ...settings,
    });
    let end: Ended | null = null;
    void program.ended.then((ended) => (end = ended));
    return {
      url: program.url('admin'),
      cpuMs: () => cpuMs(program.pid),
      async stop() {
        const before = end;
        await program.kill('SIGTERM');
        await clean();
        if (before !== null) throw new Error(obituary(before, program));
      },
    };
  } catch (error) {
    await clean();
    throw error;
  }
}

/** A client only sees connections break; what broke them is worth more. */
function obituary({ code, signal }: Ended, { errors, output }: Program): string {
  const last = [errors, output].map((text) => text.slice(-OBITUARY_LENGTH_MAX)).join('\n');
  return `the control plane ended by itself (code ${code}, signal ${signal}); it said:\n${last}`;
}

async function serverOrThrow(): Promise<Postgres> {
  const server = await startPostgres();
  if ('missing' in server) throw new Error(server.missing);
  return server;
}

async function databaseSettings(server: Postgres): Promise<Record<string, string>> {
  return {
    HEADGATE_DATABASE_URL: await server.createDatabase(),
    HEADGATE_KEK: randomBytes(32).toString('base64'),
  };
}

/** From Linux's process table, in ticks of 10 ms; 0 where there is none. */
function cpuMs(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return 0;
  }
}
