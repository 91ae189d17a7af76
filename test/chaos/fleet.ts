/**
 * The supervisor: control planes, data planes and a PostgreSQL server as the processes they are in
 * production, each with a folder and ports that it keeps, to be killed, stopped and started again.
 */
import { createServer, type AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { must } from '#shared/base/assert.ts';
import { AdminClient } from '../support/admin-client.ts';
import type { Postgres } from '../support/postgres.ts';
import { type Program, startProgram } from '../support/program.ts';
import { mutantEnv } from './mutants.ts';

type Env = Readonly<Record<string, string>>;

/** One process that comes back where it was. */
export class Member {
  readonly name: string;
  readonly role: 'cp' | 'dp';
  readonly folder: string;
  readonly #env: Env;
  #program: Program | null = null;

  constructor(name: string, role: 'cp' | 'dp', folder: string, env: Env) {
    this.name = name;
    this.role = role;
    this.folder = folder;
    this.#env = env;
  }

  get program(): Program {
    return must(this.#program, `a running ${this.name}`);
  }

  get isRunning(): boolean {
    return this.#program !== null;
  }

  url(role: string): string {
    return this.program.url(role);
  }

  /** Resolves when it says that it is ready. */
  async start(more: Env = {}): Promise<void> {
    this.#program = await startProgram(this.role, { ...this.#env, ...more });
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const program = this.program;
    this.#program = null;
    await program.kill(signal);
  }

  pause(): void {
    this.program.signal('SIGSTOP');
  }

  resume(): void {
    this.program.signal('SIGCONT');
  }
}

export interface FleetOptions {
  /**
   * Null: the embedded database, for one control plane. A list: one for each, when they get there by
   * different ways.
   */
  readonly databaseUrl: string | readonly string[] | null;
  readonly controlPlanes?: number;
  /** For every control plane. */
  readonly env?: Env;
}

export class Fleet {
  readonly folder: string;
  readonly controlPlanes: readonly Member[];
  readonly dataPlanes: Member[] = [];

  private constructor(folder: string, controlPlanes: readonly Member[]) {
    this.folder = folder;
    this.controlPlanes = controlPlanes;
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    const { databaseUrl, controlPlanes = 1, env = {} } = options;
    const folder = await mkdtemp(join(tmpdir(), 'headgate-chaos-'));
    const names = Array.from({ length: controlPlanes }, (_, i) => `cp-${i + 1}`);
    const members = await Promise.all(
      names.map(async (name, index) => {
        const ports = await freePorts(2);
        const url = typeof databaseUrl === 'string' ? databaseUrl : databaseUrl?.[index];
        return new Member(name, 'cp', join(folder, name), {
          HEADGATE_DATA_DIR: join(folder, name),
          HEADGATE_ADMIN_LISTEN: `127.0.0.1:${ports[0]}`,
          HEADGATE_CLUSTER_LISTEN: `127.0.0.1:${ports[1]}`,
          ...(url === undefined
            ? {}
            : {
                HEADGATE_DATABASE_URL: url,
                HEADGATE_KEK: Buffer.alloc(32, 9).toString('base64'),
              }),
          ...mutantEnv(),
          ...env,
        });
      }),
    );
    // One after the other: the first one migrates.
    for (const member of members) await member.start();
    return new Fleet(folder, members);
  }

  /** The n-th control plane's Admin API, wherever it is in its life. */
  admin(index = 0): AdminClient {
    return new AdminClient(must(this.controlPlanes[index], 'a control plane').url('admin'));
  }

  /**
   * Starts a data plane that knows all control planes, and enrols it.
   *
   * @param addresses  of control planes, when they are not dialled directly
   */
  async addDataPlane(addresses?: readonly string[]): Promise<Member> {
    const name = `dp-${this.dataPlanes.length + 1}`;
    const ports = await freePorts(2);
    const dialled = addresses ?? this.controlPlanes.map((member) => clusterAddress(member));
    const member = new Member(name, 'dp', join(this.folder, name), {
      HEADGATE_DATA_DIR: join(this.folder, name),
      HEADGATE_CONTROL_PLANES: dialled.join(','),
      HEADGATE_PROXY_LISTEN: `127.0.0.1:${ports[0]}`,
      HEADGATE_STATUS_LISTEN: `127.0.0.1:${ports[1]}`,
      ...mutantEnv(),
    });
    await member.start({ HEADGATE_JOIN_TOKEN: await this.admin().joinToken() });
    this.dataPlanes.push(member);
    return member;
  }

  async close(): Promise<void> {
    const running = [...this.controlPlanes, ...this.dataPlanes].filter((one) => one.isRunning);
    // What is stopped does not die of anything but SIGKILL, which this is.
    await Promise.all(running.map((member) => member.kill()));
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function clusterAddress(member: Member): string {
  return member.url('cluster').replace(/^http/, 'ws');
}

/** Of a PostgreSQL server: something to be killed like the others. */
export interface Victim {
  readonly name: string;
  kill(): Promise<unknown>;
  start(): Promise<unknown>;
}

export function postgresVictim(postgres: Postgres): Victim {
  return { name: 'postgres', kill: () => postgres.kill(), start: () => postgres.restart() };
}

/** Ports that were free a moment ago: for programs that must come back where they were. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  // Listening TCP servers' addresses are objects.
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
