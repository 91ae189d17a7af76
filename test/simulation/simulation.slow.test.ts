/**
 * The simulator's own promise: histories without a violation, the same again for the same seed, and no
 * deliberate mistake that gets through. More by hand: HEADGATE_SIMULATION_SEEDS, or `npm run simulate`.
 */
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { catchOne, runSeeds } from './farm.ts';
import { MUTANTS } from './mutants.ts';

const SEEDS = Number(process.env['HEADGATE_SIMULATION_SEEDS'] ?? 500);
const MUTANT_SEEDS = Number(process.env['HEADGATE_SIMULATION_MUTANT_SEEDS'] ?? 200);
const WORKERS = availableParallelism();
const MINUTES_MS = 10 * 60_000;

async function run(seeds: number, first: number): Promise<{ lines: string[]; traces: string[] }> {
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(line);
  const common = { mutant: null, keepsLines: false, workers: WORKERS, print };
  const { outcomes } = await runSeeds({ seeds, first, ...common });
  return { lines, traces: outcomes.map(({ seed, trace }) => `${seed} ${trace}`).toSorted() };
}

describe('the simulator', () => {
  it(
    `finds nothing wrong in ${SEEDS} histories`,
    async () => {
      const { lines } = await run(SEEDS, 1);
      expect(lines).toEqual([`${SEEDS} seeds, 0 violations`]);
    },
    MINUTES_MS,
  );

  // A hello that lay in a paused control plane's socket made its honest sender look like a clone.
  it.each([90])(
    'finds nothing wrong in the history of seed %i any more',
    async (seed) => {
      expect((await run(1, seed)).lines).toEqual(['1 seeds, 0 violations']);
    },
    MINUTES_MS,
  );

  it(
    'tells the same history again for the same seed, in whatever process and after whatever others',
    async () => {
      const first = await run(6, 3);
      const again = await run(3, 6);
      expect(first.traces.filter((trace) => /^[678] /.test(trace))).toEqual(again.traces);
      expect(new Set(first.traces.map((trace) => trace.split(' ')[1])).size).toBe(6);
    },
    MINUTES_MS,
  );
});

describe('a deliberate mistake', () => {
  it.each(MUTANTS)(
    'is caught: $what ($name)',
    async ({ name }) => {
      const { seeds, violation } = await catchOne(name, { seeds: MUTANT_SEEDS, first: 1 });
      expect(seeds, 'seeds until it was caught').not.toBeNull();
      expect(violation).not.toContain('the simulator failed');
    },
    MINUTES_MS,
  );
});
