/**
 * What the database pays, at idle and per change, with one node and with many: `COST_NODES=2000` and
 * `COST_SECONDS=120` by hand. Reads and publishing must not know how many nodes there are.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { openPg } from '../../cp/store/drivers/pg.ts';
import {
  MANIFESTS_KEPT_MAX,
  MANIFESTS_KEPT_MIN,
  sweepRetired,
} from '../../cp/changes/retention.ts';
import { silent } from '../support/pglite.ts';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { startPostgres } from '../support/postgres.ts';
import { Counted, idle, type Cost } from './database-cost.ts';

const MANY = Number(process.env['COST_NODES'] ?? 100);
const IDLE_MS = Number(process.env['COST_SECONDS'] ?? 32) * 1_000;
const CHANGES = 20;
const STORED_CHANGES = 200;
const ROUTES = 2_500;
const SECONDS_PER_DAY = 86_400;

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe('what the database pays', () => {
    let one: Counted;
    let many: Counted;
    beforeAll(async () => {
      one = await Counted.start(postgres, 1);
      many = await Counted.start(postgres, MANY);
      // What joining left to be written.
      await idle(5_000);
    }, 180_000);
    afterAll(async () => {
      await one?.close();
      await many?.close();
      await postgres.stop();
    });

    const shown = (cost: Cost, times: number) => ({
      statements: Math.round(cost.statements * times),
      kilobytes: Math.round(((cost.bytesUp + cost.bytesDown) * times) / 1_000),
      walKilobytes: Math.round((cost.walBytes * times) / 1_000),
      rows: Object.fromEntries(
        Object.entries(cost.rows).map(([table, rows]) => [table, Math.round(rows * times)]),
      ),
      asked: Object.fromEntries(
        Object.entries(cost.asked)
          .map(([text, count]): [string, number] => [text, Math.round(count * times)])
          .toSorted(([, a], [, b]) => b - a)
          .slice(0, Number(process.env['COST_STATEMENTS'] ?? 0)),
      ),
    });

    it('at idle asks the same, however many nodes there are', async () => {
      const costs = await Promise.all(
        [one, many].map((counted) => counted.during(() => idle(IDLE_MS))),
      );
      const [few, more] = [must(costs[0], 'two'), must(costs[1], 'two')];
      const perHour = 3_600_000 / IDLE_MS;
      console.log('at idle, per hour, 1 node:', shown(few, perHour));
      console.log(`at idle, per hour, ${MANY} nodes:`, shown(more, perHour));
      // Timers of 2, 5 and 30 s may fall one more time into one window than into the other.
      expect(more.statements).toBeLessThan(few.statements * 1.15 + 12);
    }, 300_000);

    it('per change asks the same, and writes the same of what is published', async () => {
      const costs: Cost[] = [];
      for (const counted of [one, many]) {
        costs.push(await counted.during(() => counted.change(CHANGES)));
      }
      const [few, more] = [must(costs[0], 'two'), must(costs[1], 'two')];
      console.log('per change, 1 node:', shown(few, 1 / CHANGES));
      console.log(`per change, ${MANY} nodes:`, shown(more, 1 / CHANGES));
      // Slower to arrive at many, so that some more timers fire meanwhile.
      expect(more.statements).toBeLessThan(few.statements * 1.25 + 12);
      for (const table of ['manifests', 'group_records', 'group_nodes', 'groups']) {
        expect(more.rows[table], table).toBe(few.rows[table]);
        expect(more.rows[table], table).toBeGreaterThanOrEqual(CHANGES);
      }
    }, 300_000);

    it('when all come back reads the configuration once, and each node by itself', async () => {
      const costs: Cost[] = [];
      for (const counted of [one, many]) {
        costs.push(await counted.during(() => counted.restart()));
      }
      const [few, more] = [must(costs[0], 'two'), must(costs[1], 'two')];
      console.log('a restart, 1 node:', shown(few, 1));
      console.log(`a restart, ${MANY} nodes:`, shown(more, 1));
      // Who it is, its join counter taken, its join counter confirmed; and the polls meanwhile.
      const perNode = (more.statements - few.statements) / (MANY - 1);
      console.log(`statements per node that comes back: ${perNode.toFixed(1)}`);
      expect(perNode).toBeLessThan(6);
      for (const table of ['manifests', 'group_nodes', 'group_records']) {
        const [reads, readsOfMany] = [few, more].map((cost) => readsOf(cost, table));
        // Two more polls may fall into the longer time.
        expect(readsOfMany, table).toBeLessThan((reads ?? 0) + 6);
      }
    }, 300_000);

    it('per day, at one change a second, keeps what retention says', async () => {
      const operations = Array.from({ length: ROUTES }, (_, i) => ({
        op: 'create',
        path: '/services/cost/routes',
        body: { name: `route-${i}`, paths: [`/routes/${i}`], tags: [`number-${i}`] },
      }));
      await one.admin.post('/headgate/bulk', { operations });
      await one.change(1);
      const sizesBefore = await one.sizes();
      await one.change(STORED_CHANGES);
      const sizes = await one.sizes();
      const perChange = Object.fromEntries(
        Object.entries(sizes)
          .map(([table, bytes]): [string, number] => [
            table,
            Math.round((bytes - (sizesBefore[table] ?? 0)) / STORED_CHANGES),
          ])
          .filter(([, bytes]) => bytes > 0),
      );
      const megabytes = (tables: readonly string[], changes: number): number =>
        Math.round(
          (tables.reduce((sum, table) => sum + (perChange[table] ?? 0), 0) * changes) / 1e6,
        );
      console.log('bytes per change, by table, among 2,500 routes:', perChange);
      console.log(
        `at one change a second: manifests and tree nodes at most ` +
          `${megabytes(['manifests', 'group_nodes'], MANIFESTS_KEPT_MAX)} MB; change log and audit grow by ` +
          `${megabytes(['changes', 'audit'], SECONDS_PER_DAY)} MB a day`,
      );
      // A day later.
      await one.query("UPDATE manifests SET created_at = created_at - interval '25 hours'");
      const db = openPg({ url: one.url, isPooled: false, logger: silent });
      let rounds = 0;
      while ((await sweepRetired(db)) > 0) expect(++rounds).toBeLessThan(100);
      await db.close();
      const [left] = await one.query(
        `SELECT (SELECT count(*)::int FROM manifests) AS manifests,
           (SELECT count(*)::int FROM group_nodes WHERE retired_revision IS NOT NULL) AS retired,
           (SELECT count(*)::int FROM group_nodes WHERE retired_revision IS NULL) AS live`,
      );
      console.log('a day after the last change:', left);
      expect(left?.['manifests']).toBe(MANIFESTS_KEPT_MIN);
      // Each of those revisions retired the nodes on one way from the root to a leaf.
      expect(Number(left?.['retired'])).toBeLessThan(MANIFESTS_KEPT_MIN * 6);
      // And who was away longer than that gets what it lacks all the same.
      await one.change(1);
    }, 300_000);
  });
}

/** Statements that read a table. */
function readsOf({ asked }: Cost, table: string): number {
  return Object.entries(asked)
    .filter(([text]) => text.startsWith('SELECT') && text.includes(` FROM ${table}`))
    .reduce((sum, [, count]) => sum + count, 0);
}
