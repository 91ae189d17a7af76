/**
 * `npm run simulate -- --seeds N [--seed S] [--mutant NAME | --mutants] [--trace]`
 *
 * Runs N seeds from S on (1), on all processors; the last line is `N seeds, 0 violations`. `--mutant`:
 * with one of the deliberate mistakes of `mutants.ts` in the code. `--mutants`: every one of them, each
 * until it is caught. `--trace`: prints what happens.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { MUTANTS } from './mutants.ts';
import { runMutants, runSeeds } from './farm.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    mutant: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
});
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const count = Number(values.seeds);
const first = Number(values.seed);
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(first) || first < 0) {
  print('--seeds: a number from 1 on; --seed: one from 0 on');
  process.exit(2);
}
const { mutant = null } = values;
if (mutant !== null && !MUTANTS.some(({ name }) => name === mutant)) {
  print(`--mutant: one of ${MUTANTS.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const workers = availableParallelism();
if (values.mutants) {
  const caught = await runMutants({ seeds: count, first, workers, print });
  process.exitCode = [...caught.values()].every(({ seed }) => seed !== null) ? 0 : 1;
} else {
  const { violations } = await runSeeds({
    seeds: count,
    first,
    mutant,
    workers,
    keepsLines: values.trace,
    print,
  });
  process.exitCode = violations === 0 ? 0 : 1;
}
