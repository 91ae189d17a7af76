/** Nothing that was acknowledged is lost, whoever dies. `CHAOS_ROUNDS` and `CHAOS_SEED` for more. */
import { randomInt } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { startPostgres } from '../support/postgres.ts';
import { CONVERGENCE_MS_MAX, runKillRounds } from './kill-rounds.ts';

const ROUNDS = Number(process.env['CHAOS_ROUNDS'] ?? 25);
const SEED = Number(process.env['CHAOS_SEED'] ?? randomInt(2 ** 31));
const ROUND_MS_MAX = 45_000;

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe('control planes, data planes and the database killed at random', () => {
    afterAll(() => postgres.stop());

    it(
      `in ${ROUNDS} rounds lose no acknowledged write, make none up, and fail no request elsewhere`,
      async () => {
        const result = await runKillRounds({ postgres, rounds: ROUNDS, seed: SEED });
        const { convergenceMs, counts, kills, requests, seconds } = result;
        const worst = Math.round(convergenceMs.at(-1) ?? 0);
        const median = Math.round(convergenceMs[Math.floor(convergenceMs.length / 2)] ?? 0);
        console.log(
          `seed ${SEED}: ${ROUNDS} rounds in ${Math.round(seconds)} s, killed ${JSON.stringify(kills)}, ` +
            `${JSON.stringify(counts)}, ${requests} requests answered; ` +
            `converged after ${median} ms in the median, ${worst} ms at worst`,
        );
        expect(result.violations, `seed ${SEED}, history in ${result.file}`).toEqual([]);
        expect(worst).toBeLessThan(CONVERGENCE_MS_MAX);
        expect(counts['unknown'] ?? 0).toBe(0);
        // An oracle that saw little proves little.
        expect(counts['acked']).toBeGreaterThan(ROUNDS * 15);
        expect(requests).toBeGreaterThan(ROUNDS * 60);
      },
      ROUNDS * ROUND_MS_MAX,
    );
  });
}
