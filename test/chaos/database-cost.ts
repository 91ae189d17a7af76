/** What a control plane asks of its database, and what it writes there: counted on the wire. */
import { Client as PgClient } from 'pg';
import { must } from '#shared/base/assert.ts';
import type { AdminClient } from '../support/admin-client.ts';
import { eventually } from '../support/eventually.ts';
import type { Postgres } from '../support/postgres.ts';
import { clusterAddress, Fleet } from './fleet.ts';
import { PostgresProxy } from './postgres-faults.ts';
import { Swarm } from './swarm.ts';

export interface Cost {
  /** As the control plane asked, transactions' BEGIN and COMMIT included. */
  readonly statements: number;
  /** On the wire, to the database and back. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Rows that statements said they inserted, changed or removed, by the table that they name first. */
  readonly rows: Readonly<Record<string, number>>;
  /** How often each statement was asked, by its beginning. */
  readonly asked: Readonly<Record<string, number>>;
  /** Written ahead, as a copy or a backup would have to carry it. */
  readonly walBytes: number;
}

const CONNECTED_MS_MAX = 120_000;

/** One control plane, its way to the database counted, and light nodes connected to it. */
export class Counted {
  readonly fleet: Fleet;
  readonly swarm: Swarm;
  readonly url: string;
  readonly #proxy: PostgresProxy;
  readonly #sql: PgClient;

  private constructor(parts: {
    fleet: Fleet;
    swarm: Swarm;
    url: string;
    proxy: PostgresProxy;
    sql: PgClient;
  }) {
    this.fleet = parts.fleet;
    this.swarm = parts.swarm;
    this.url = parts.url;
    this.#proxy = parts.proxy;
    this.#sql = parts.sql;
  }

  static async start(postgres: Postgres, nodes: number): Promise<Counted> {
    const url = await postgres.createDatabase();
    const proxy = await PostgresProxy.start(postgres.port);
    const fleet = await Fleet.start({ databaseUrl: proxy.through(url) });
    const admin = fleet.admin();
    await admin.post('/services', { name: 'cost', url: 'http://127.0.0.1:9' });
    const workspace = String((await admin.ok('GET', '/workspaces/default'))['id']);
    const [controlPlane] = fleet.controlPlanes;
    const swarm = await Swarm.start({
      nodes,
      controlPlanes: [clusterAddress(must(controlPlane, 'a control plane'))],
      workspace,
      joinToken: async (uses) =>
        String((await admin.post('/clustering/join-tokens', { uses }))['token']),
    });
    await swarm.all(1, CONNECTED_MS_MAX);
    const sql = new PgClient({ connectionString: url });
    // The server is stopped before it at times.
    sql.on('error', () => {});
    await sql.connect();
    return new Counted({ fleet, swarm, url, proxy, sql });
  }

  get admin(): AdminClient {
    return this.fleet.admin();
  }

  /** What is asked and written while `work` runs. */
  async during(work: () => Promise<unknown>): Promise<Cost> {
    const before = await this.#snapshot();
    await work();
    const after = await this.#snapshot();
    return {
      statements: after.statements - before.statements,
      bytesUp: after.bytesUp - before.bytesUp,
      bytesDown: after.bytesDown - before.bytesDown,
      rows: difference(before.rows, after.rows),
      asked: difference(before.asked, after.asked),
      walBytes: after.walBytes - before.walBytes,
    };
  }

  /** Changes one route again and again, each when the one before has arrived everywhere. */
  async change(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const answer = await this.admin.call('PUT', '/services/cost/routes/one', {
        paths: [`/${i}`],
      });
      if (answer.status >= 300) throw new Error(answer.text);
      await this.swarm.all(Number(answer.headers['headgate-version']), CONNECTED_MS_MAX);
    }
  }

  /** The control plane killed and started, until all nodes are back and hold a change. */
  async restart(): Promise<void> {
    const controlPlane = must(this.fleet.controlPlanes[0], 'a control plane');
    await controlPlane.kill();
    await controlPlane.start();
    await this.change(1);
  }

  /** Bytes of every table, indexes and long values included, biggest first. */
  async sizes(): Promise<Readonly<Record<string, number>>> {
    const { rows } = await this.#sql.query<{ name: string; bytes: string }>(
      `SELECT relname AS name, pg_total_relation_size(relid) AS bytes FROM pg_stat_user_tables
       ORDER BY 2 DESC`,
    );
    return Object.fromEntries(rows.map(({ name, bytes }) => [name, Number(bytes)]));
  }

  async query(text: string): Promise<readonly Record<string, unknown>[]> {
    return (await this.#sql.query<Record<string, unknown>>(text)).rows;
  }

  async close(): Promise<void> {
    this.swarm.close();
    await this.#sql.end();
    await this.fleet.close();
    await this.#proxy.stop();
  }

  async #snapshot(): Promise<Cost> {
    const { rows } = await this.#sql.query<{ wal: string }>(
      "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS wal",
    );
    const { bytes } = this.#proxy.tcp;
    return {
      statements: this.#proxy.statements,
      bytesUp: bytes.up,
      bytesDown: bytes.down,
      rows: Object.fromEntries(this.#proxy.written),
      asked: Object.fromEntries(this.#proxy.asked),
      walBytes: Number(rows[0]?.wal ?? 0),
    };
  }
}

type Counts = Readonly<Record<string, number>>;

function difference(before: Counts, after: Counts): Counts {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, count]): [string, number] => [name, count - (before[name] ?? 0)])
      .filter(([, count]) => count > 0),
  );
}

/** Waits for so long: what happens by itself is what is counted. */
export async function idle(ms: number): Promise<void> {
  const end = performance.now() + ms;
  await eventually('the time to pass', () => performance.now() >= end, ms + 5_000);
}
