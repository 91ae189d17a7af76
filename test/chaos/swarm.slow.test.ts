/** A fleet on one control plane: 500 nodes here; by hand `SWARM_NODES=2000`. */
import { afterAll, describe, expect, it } from 'vitest';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { startPostgres } from '../support/postgres.ts';
import { quantile } from './swarm.ts';
import { runSwarm } from './swarm-run.ts';

const NODES = Number(process.env['SWARM_NODES'] ?? 500);
const ROUTES = Number(process.env['SWARM_ROUTES'] ?? 2_500);
const CHANGES = Number(process.env['SWARM_CHANGES'] ?? 20);

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe(`a fleet of ${NODES} nodes`, () => {
    afterAll(() => postgres.stop());

    it('enrols, hears of changes, and comes back together after a kill', async () => {
      const databaseUrl = await postgres.createDatabase();
      const figures = await runSwarm({
        databaseUrl,
        nodes: NODES,
        routes: ROUTES,
        changes: CHANGES,
      });
      const { restart, adminMs, changeCpuMs, lastAckMs, ackMs } = figures;
      const round = (value: number): number => Math.round(value);
      console.log(
        `${NODES} nodes, ${round(figures.configBytes / 1000)} kB: enrolled in ${round(figures.enrolledMs)} ms; ` +
          `a change to the last ack p50 ${round(quantile(lastAckMs, 0.5))} ms, p99 ${round(quantile(lastAckMs, 0.99))} ms ` +
          `(per node p50 ${round(quantile(ackMs, 0.5))}, p99 ${round(quantile(ackMs, 0.99))}; ` +
          `${round(changeCpuMs.controlPlane)} ms of CPU, and ${round(changeCpuMs.swarm)} ms of the nodes); ` +
          `killed and back: 95 % ${round(restart.p95Ms)} ms, all ${round(restart.allMs)} ms, ${restart.dialled} dials, ${restart.cpuMs} ms of CPU; ` +
          `Admin API meanwhile p50 ${round(adminMs.p50)} ms, p99 ${round(adminMs.p99)} ms; ` +
          `control plane ${round(figures.rssMb)} MB at most, swarm ${round(figures.swarmMb)} MB; ` +
          `machine slower by ${figures.starvation.toFixed(1)}`,
      );
      // A machine that others use as well is slower by as much as it was just measured to be.
      const within = (ms: number): number => ms * figures.starvation;
      expect(restart.p95Ms).toBeLessThan(within(20_000));
      expect(restart.allMs).toBeLessThan(within(45_000));
      expect(figures.rssMb).toBeLessThan(600);
      expect(adminMs.failed).toBe(0);
      expect(adminMs.p99).toBeLessThan(within(500));
      expect(quantile(lastAckMs, 0.5)).toBeLessThan(within(300));
      expect(quantile(lastAckMs, 0.99)).toBeLessThan(within(1_000));
    }, 600_000);
  });
}
