/** Seeds and mutants over several processes. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MUTANTS } from './mutants.ts';
import type { Outcome } from './run-seed.ts';
import type { Task } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));

interface Common {
  readonly seeds: number;
  readonly first: number;
  readonly workers: number;
  readonly print: (line: string) => void;
}

export interface Summary {
  readonly violations: number;
  readonly outcomes: readonly Outcome[];
}

/** @returns when all have run; the last line printed is `N seeds, M violations` */
export async function runSeeds(
  options: Common & { readonly mutant: string | null; readonly keepsLines: boolean },
): Promise<Summary> {
  const { seeds, first, mutant, keepsLines, print } = options;
  const workers = Math.min(options.workers, seeds);
  const outcomes: Outcome[] = [];
  const heard = (outcome: Outcome): void => {
    outcomes.push(outcome);
    for (const line of outcome.lines) print(line.trimEnd());
    if (keepsLines) print(`seed ${outcome.seed}: trace ${outcome.trace}`);
    if (outcome.violation !== null) print(describe(outcome, mutant));
  };
  await Promise.all(
    Array.from({ length: workers }, (_, index) => {
      const count = Math.ceil((seeds - index) / workers);
      const task = { first: first + index, step: workers, seeds: count, keepsLines };
      return runTask({ ...task, stopsAtFirst: false }, mutant, heard);
    }),
  );
  const violations = outcomes.filter(({ violation }) => violation !== null).length;
  const missing = seeds - outcomes.length;
  if (missing > 0) print(`${missing} seeds did not run`);
  print(`${seeds} seeds, ${violations + missing} violations`);
  return { violations: violations + missing, outcomes };
}

/** The same again: one command, and what its trace comes to. */
function describe({ seed, trace, violation, virtualMs }: Outcome, mutant: string | null): string {
  const by = mutant === null ? '' : ` --mutant ${mutant}`;
  return [
    `seed ${seed}, after ${(virtualMs / 1000).toFixed(1)} s: ${violation}`,
    `  trace ${trace}; again: npm run simulate -- --seeds 1 --seed ${seed}${by} --trace`,
  ].join('\n');
}

export interface Caught {
  readonly name: string;
  /** Null when none did. */
  readonly seed: number | null;
  readonly violation: string;
}

/** Each mutant until a seed catches it, and two lines for each. @returns by name */
export async function runMutants(options: Common): Promise<ReadonlyMap<string, Caught>> {
  const { print, workers, seeds } = options;
  const waiting = [...MUTANTS];
  const caught = new Map<string, Caught>();
  const width = Math.max(...MUTANTS.map(({ name }) => name.length));
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const found = await catchOne(next.name, options);
      caught.set(next.name, found);
      const { seed, violation } = found;
      const result = seed === null ? `NOT CAUGHT in ${seeds}` : `caught by seed ${seed}`;
      print(`${next.name.padEnd(width)}  ${result.padEnd(20)}  ${next.what}`);
      print(`${' '.repeat(width)}  ${violation.split('\n')[0] ?? ''}`);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  const survivors = [...caught.values()].filter(({ seed }) => seed === null).length;
  print(`${MUTANTS.length} mutants, ${survivors} not caught`);
  return caught;
}

export async function catchOne(
  name: string,
  { seeds, first }: Pick<Common, 'seeds' | 'first'>,
): Promise<Caught> {
  let found: Outcome | null = null;
  const task = { first, step: 1, seeds, keepsLines: false, stopsAtFirst: true };
  await runTask(task, name, (outcome) => {
    // A simulator that fails has not found anything.
    const isFound = outcome.violation?.startsWith('the simulator failed') === false;
    if (isFound) found ??= outcome;
  });
  const outcome = found as Outcome | null; // set in the callback, which the compiler does not see
  if (outcome === null) return { name, seed: null, violation: '' };
  return { name, seed: outcome.seed, violation: outcome.violation ?? '' };
}

function runTask(
  task: Task,
  mutant: string | null,
  heard: (outcome: Outcome) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(WORKER, [], {
      env: { ...process.env, HEADGATE_SIMULATION_MUTANT: mutant ?? '' },
      execArgv: [],
    });
    child.on('message', (outcome) => heard(outcome as Outcome)); // what `worker.ts` sends
    child.once('error', reject);
    child.once('exit', () => resolve());
    child.send(task);
  });
}
