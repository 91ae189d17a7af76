/**
 * The simulator's own promise: histories without a violation, the same again for the same seed, and no
 * deliberate mistake that gets through. More by hand: HEADGATE_SIMULATION_SEEDS, or `npm run simulate`.
 */
import { availableParallelism } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { runMutants, runSeeds, type Caught } from './farm.ts';
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
  let caught: ReadonlyMap<string, Caught> = new Map();

  // At once, so that all processors have work until the last one.
  beforeAll(async () => {
    const common = { first: 1, workers: WORKERS, print: () => {} };
    caught = await runMutants({ seeds: MUTANT_SEEDS, ...common });
  }, MINUTES_MS);

  it.each(MUTANTS)('is caught: $what ($name)', ({ name }) => {
    const found = caught.get(name);
    expect(found?.seed ?? null, 'the seed that caught it').not.toBeNull();
    expect(found?.violation).toMatch(/^[ID]-?\d+: /);
  });
});
