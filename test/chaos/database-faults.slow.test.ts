/**
 * What becomes of writes and of news when the way to the database fails at the worst moment: whole
 * control planes, with a proxy that reads what they say to PostgreSQL.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client as PgClient } from 'pg';
import { must } from '#shared/base/assert.ts';
import { answers } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { startPostgres } from '../support/postgres.ts';
import { clusterAddress, Fleet, type Member } from './fleet.ts';
import { check, type HistoryEvent } from './history.ts';
import { isCommit, PostgresProxy, type Cut } from './postgres-faults.ts';
import { Client } from './traffic.ts';

/** Poll of five seconds, and what a busy machine needs to pass it on. */
const WITHOUT_NEWS_MS_MAX = 6_000;
/** Control planes and database gone; 60 by hand. */
const OUTAGE_MS = Number(process.env['CHAOS_OUTAGE_SECONDS'] ?? 10) * 1_000;
/** A control plane that is stopped, not dead; 30 by hand. */
const PAUSE_MS = Number(process.env['CHAOS_PAUSE_SECONDS'] ?? 8) * 1_000;

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe('with a fault between control plane and database', () => {
    let proxy: PostgresProxy;
    let fleet: Fleet;
    let echo: Echo;
    let url = '';
    /** Reaches the database directly, and the one that goes through the proxy. */
    let direct: Member;
    let proxied: Member;
    /** Connected to the second. */
    let node: Member;
    let count = 0;

    beforeAll(async () => {
      proxy = await PostgresProxy.start(postgres.port);
      echo = await startEcho('one');
      url = await postgres.createDatabase();
      fleet = await Fleet.start({ databaseUrl: [url, proxy.through(url)], controlPlanes: 2 });
      direct = must(fleet.controlPlanes[0], 'a control plane');
      proxied = must(fleet.controlPlanes[1], 'two control planes');
      await fleet.admin().post('/services', { name: 'echo', url: `http://${echo.address}` });
      node = await fleet.addDataPlane([clusterAddress(proxied)]);
      await fleet.admin().post('/services/echo/routes', { paths: ['/steady'] });
      await answers(node.url('proxy'), '/steady', 200);
    });
    afterAll(async () => {
      await fleet?.close();
      await proxy?.stop();
      await echo?.close();
      await postgres.stop();
    });

    /** @returns how long it took from the answer until the data plane served it */
    async function change(deadlineMs = 15_000): Promise<number> {
      const path = `/change-${count++}`;
      await fleet.admin().post('/services/echo/routes', { paths: [path] });
      const startedAt = performance.now();
      await answers(node.url('proxy'), path, 200, deadlineMs);
      return performance.now() - startedAt;
    }

    it('drops every notification, and a change still arrives within the poll', async () => {
      proxy.dropsNotifications = true;
      const before = proxy.notifications;
      const times = [await change(), await change()];
      proxy.dropsNotifications = false;
      console.log(`without notifications: ${times.map((ms) => Math.round(ms)).join(', ')} ms`);
      expect(proxy.notifications).toBeGreaterThan(before);
      expect(Math.max(...times)).toBeLessThan(WITHOUT_NEWS_MS_MAX);
    });

    it('loses the connection that listens, and hears again', async () => {
      const client = new PgClient({ connectionString: url });
      await client.connect();
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE query LIKE 'LISTEN%' AND datname = current_database()`,
      );
      await client.end();
      expect(rowCount).toBe(2);
      expect(await change()).toBeLessThan(WITHOUT_NEWS_MS_MAX);
      // Once it listens again, a change does not wait for the poll.
      await eventually('a quick change', async () => (await change()) < 1_000, 30_000);
    });

    async function write(member: Member, key: string, host: string) {
      const body = JSON.stringify({ host });
      const headers = {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
        'idempotency-key': key,
      };
      return send(member.url('admin'), '/services', { method: 'POST', headers, body });
    }

    async function countOf(host: string): Promise<number> {
      const { data } = (await fleet.admin().ok('GET', '/services?size=1000')) as {
        data: { host: string }[];
      };
      return data.filter((one) => one.host === host).length;
    }

    it.each(['before', 'after'] satisfies Cut[])(
      'loses COMMIT (cut %s it): a 503 that says so, and one effect of the repetition',
      async (cut) => {
        const host = `cut-${cut}.test`;
        proxy.cut = cut;
        const lost = await write(proxied, `cut-${cut}`, host);
        proxy.cut = 'none';
        expect([lost.status, lost.json()]).toEqual([
          503,
          expect.objectContaining({ outcome: 'unknown' }),
        ]);
        expect(await countOf(host)).toBe(cut === 'after' ? 1 : 0);
        // On the other one: the key counts, not who was asked.
        const again = await write(direct, `cut-${cut}`, host);
        expect(again.status).toBe(201);
        expect(again.headers['idempotency-replayed']).toBe(cut === 'after' ? 'true' : undefined);
        expect(await countOf(host)).toBe(1);
      },
    );

    /** Where a control plane dies, by what passes the proxy. */
    const moments = {
      'before its first statement': ({ kind, text }, direction) =>
        direction === 'up' && kind === 'Q' && text.startsWith('BEGIN'),
      'as it sends COMMIT': (message, direction) => direction === 'up' && isCommit(message),
      'when COMMIT is answered, before it has answered itself': ({ kind, text }, direction) =>
        direction === 'down' && kind === 'CommandComplete' && text === 'COMMIT',
    } satisfies Record<string, (...seen: Parameters<PostgresProxy['onMessage']>) => boolean>;

    it.each(Object.entries(moments))(
      'and a control plane killed %s: a repetition has one effect',
      async (name, isMoment) => {
        const host = `killed-${count++}.test`;
        let killing: Promise<void> | null = null;
        const asked = Promise.withResolvers<void>();
        const program = proxied.program;
        proxy.onMessage = (message, direction) => {
          if (killing !== null || !isMoment(message, direction)) return;
          // By signal and at once: what it had sent, it has sent.
          program.signal('SIGKILL');
          killing = proxied.kill();
          asked.resolve();
        };
        const answer = await write(proxied, `killed ${host}`.replaceAll(' ', '-'), host).catch(
          () => null,
        );
        await asked.promise;
        proxy.onMessage = () => {};
        await killing;
        expect(answer, name).toBe(null);
        await proxied.start();
        const again = await write(proxied, `killed ${host}`.replaceAll(' ', '-'), host);
        expect(again.status).toBe(201);
        expect(await countOf(host)).toBe(1);
      },
    );

    it('stops a control plane for a while: it answers with what was written meanwhile', async () => {
      const host = 'meanwhile.test';
      proxied.pause();
      const end = performance.now() + PAUSE_MS;
      await write(direct, 'meanwhile', host);
      await eventually('the pause to pass', () => performance.now() > end, PAUSE_MS + 5_000);
      const asking = fleet.admin(1).ok('GET', '/services?size=1000');
      proxied.resume();
      const { data } = (await asking) as { data: { host: string }[] };
      expect(data.map((one) => one.host)).toContain(host);
      expect(await change()).toBeLessThan(WITHOUT_NEWS_MS_MAX);
    });

    it('takes control planes and database away: no request fails, and the status says so', async () => {
      const history: HistoryEvent[] = [];
      const client = new Client(node, '/steady', (event) => history.push(event));
      client.start();
      await direct.kill();
      await proxied.kill();
      await postgres.kill();
      const end = performance.now() + OUTAGE_MS;
      await eventually('the outage to pass', () => performance.now() > end, OUTAGE_MS + 5_000);
      const status = (await send(node.url('status'), '/status')).json();
      expect(status).toMatchObject({ ready: true, control_plane: { connected: false } });
      await postgres.restart();
      await direct.start();
      await proxied.start();
      expect(await change(20_000)).toBeLessThan(10_000);
      await client.stop();
      expect(check(history, { convergenceMs: 0 })).toEqual([]);
      expect(client.done).toBeGreaterThan(OUTAGE_MS / 40);
    });
  });
}
