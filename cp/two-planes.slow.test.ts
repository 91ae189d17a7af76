/**
 * Two control planes, as processes, on one PostgreSQL server, with clients writing through both at
 * once: no acknowledged write is lost, none is half there, versions are gapless and in commit order.
 *
 * `SOAK_SECONDS` sets how long; CI runs a minute.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminClient } from '../test/support/admin-client.ts';
import { send } from '../test/support/http-client.ts';
import { startPostgres } from '../test/support/postgres.ts';
import { type Program, startProgram } from '../test/support/program.ts';

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 8);
const WRITERS = 5;
const COUNTED = '/services/counted';
/** Largest value of the field that counts. */
const COUNT_MAX = 32_767;

const postgres = await startPostgres();

/** A write that was acknowledged, in milliseconds of this process. */
interface Acknowledged {
  readonly sentMs: number;
  readonly answeredMs: number;
  readonly version: number;
}

describe.skipIf('missing' in postgres)('two control planes written to at once', () => {
  let folder: string;
  let planes: Program[] = [];
  let pool: Pool;
  const acknowledged: Acknowledged[] = [];
  /** By path: the last value acknowledged. Each path has one writer. */
  const values = new Map<string, string>();
  let increments = 0;

  beforeAll(
    async () => {
      if ('missing' in postgres) return;
      folder = await mkdtemp(join(tmpdir(), 'headgate-two-'));
      const url = await postgres.createDatabase();
      const start = (name: string) =>
        startProgram('cp', {
          HEADGATE_DATA_DIR: join(folder, name),
          HEADGATE_DATABASE_URL: url,
          HEADGATE_KEK: Buffer.alloc(32, 7).toString('base64'),
          HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
          HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
        });
      planes = await Promise.all([start('a'), start('b')]);
      pool = new Pool({ connectionString: url });
      pool.on('error', () => {});
      await new AdminClient(planes[0]?.url('admin') ?? '').ok('PUT', COUNTED, {
        host: 'h.test',
        retries: 0,
      });
      await writeAtOnce();
    },
    SECONDS * 1000 + 60_000,
  );

  afterAll(async () => {
    await pool.end();
    await Promise.all(planes.map((plane) => plane.kill('SIGTERM')));
    if (!('missing' in postgres)) await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function writeAtOnce(): Promise<void> {
    const until = performance.now() + SECONDS * 1000;
    const writers = planes.flatMap((plane, p) =>
      Array.from({ length: WRITERS }, (_, w) => write(plane.url('admin'), `${p}-${w}`, until)),
    );
    await Promise.all(writers);
  }

  /** @returns status and entity tag */
  async function call(url: string, method: string, path: string, body: object, match?: string) {
    const text = JSON.stringify(body);
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
      ...(match === undefined ? {} : { 'if-match': match }),
    };
    const sentMs = performance.now();
    const answer = await send(url, path, { method, headers, body: text });
    const version = Number(answer.headers['headgate-version'] ?? 0);
    if (answer.status < 300 && version > 0) {
      acknowledged.push({ sentMs, answeredMs: performance.now(), version });
    }
    return answer;
  }

  async function write(url: string, name: string, until: number): Promise<void> {
    for (let round = 0; performance.now() < until; round++) {
      const value = `${name}-${round}.test`;
      const own = `/services/own-${name}-${round % 7}`;
      const put = await call(url, 'PUT', own, { host: value });
      expect(put.status, put.text).toBe(200);
      values.set(own, value);
      await writeTwo(url, `pair-${name}-${round}`);
      await increment(url);
    }
  }

  /** One request that makes one entity and changes another: both in one version, or neither. */
  async function writeTwo(url: string, name: string): Promise<void> {
    const route = await call(url, 'PUT', `/routes/${name}`, { paths: [`/${name}`] });
    expect(route.status, route.text).toBe(200);
    const both = await call(url, 'PUT', `/routes/${name}/service`, { name, host: 'h.test' });
    expect(both.status, both.text).toBe(200);
  }

  /** Read, add one, write if nobody else has: a lost update would be a missing one. */
  async function increment(url: string): Promise<void> {
    const read = await send(url, COUNTED, { method: 'GET' });
    const { retries } = read.json() as { retries: number };
    const match = String(read.headers['etag']);
    const next = { retries: (retries + 1) % COUNT_MAX };
    const answer = await call(url, 'PATCH', COUNTED, next, match);
    expect([200, 412], answer.text).toContain(answer.status);
    if (answer.status === 200) increments += 1;
  }

  it('keep every write that they acknowledged', async () => {
    expect(values.size).toBeGreaterThan(WRITERS);
    for (const [path, host] of values) {
      for (const plane of planes) {
        const { status, text } = await send(plane.url('admin'), path, { method: 'GET' });
        expect([status, (JSON.parse(text) as { host: string }).host], path).toEqual([200, host]);
      }
    }
  });

  it('let nobody overwrite what they have not seen', async () => {
    const { rows } = await pool.query(
      "SELECT doc->'retries' AS n FROM services WHERE name = 'counted'",
    );
    expect(increments).toBeGreaterThan(0);
    expect(rows).toEqual([{ n: increments % COUNT_MAX }]);
  });

  it('leave nothing half done', async () => {
    const pairs = await pool.query<{ kinds: string }>(
      `SELECT string_agg(kind || ' ' || operation, ', ' ORDER BY kind) AS kinds FROM changes c
       WHERE EXISTS (SELECT 1 FROM changes s WHERE s.ws_id = c.ws_id AND s.version = c.version
         AND s.kind = 'services' AND s.doc->>'name' LIKE 'pair-%')
       GROUP BY ws_id, version`,
    );
    expect(pairs.rows.length).toBeGreaterThan(WRITERS);
    expect(new Set(pairs.rows.map(({ kinds }) => kinds))).toEqual(
      new Set(['routes update, services create']),
    );
    const lonely = await pool.query(
      `SELECT 1 FROM services s WHERE s.name LIKE 'pair-%'
       AND NOT EXISTS (SELECT 1 FROM routes r WHERE r.service_id = s.id)`,
    );
    expect(lonely.rowCount).toBe(0);
  });

  it('give each write one version, without a gap', async () => {
    const versions = acknowledged.map(({ version }) => version);
    expect(new Set(versions).size).toBe(versions.length);
    const { rows } = await pool.query<{ count: string; least: string; last: string }>(
      `SELECT count(DISTINCT c.version) AS count, min(c.version) AS least, max(c.version) AS last
       FROM changes c JOIN workspaces w ON w.id = c.ws_id`,
    );
    const [found] = rows;
    expect(found?.least).toBe('1');
    expect(found?.count).toBe(found?.last);
    // The first version is the one written before the clock started.
    expect(Number(found?.count)).toBe(versions.length + 1);
  });

  it('give versions in the order of commits, whichever of them was asked', () => {
    const ended = acknowledged.toSorted((a, b) => a.answeredMs - b.answeredMs);
    let newest = 0;
    let next = 0;
    for (const one of acknowledged.toSorted((a, b) => a.sentMs - b.sentMs)) {
      for (; (ended[next]?.answeredMs ?? Infinity) < one.sentMs; next++) {
        newest = Math.max(newest, ended[next]?.version ?? 0);
      }
      expect(one.version).toBeGreaterThan(newest);
    }
  });
});
