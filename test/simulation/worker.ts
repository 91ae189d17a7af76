/**
 * Runs seeds in a process of its own: in here there is no chance and no clock, and the code may have a
 * deliberate mistake. Gets one message `{first, step, seeds, keepsLines, stopsAtFirst}`, answers with
 * one `Outcome` per seed, and ends.
 */
import { installMutant } from './mutant-hook.ts';
import { takeOver } from './determinism.ts';
import type { Outcome } from './run-seed.ts';

export interface Task {
  readonly first: number;
  readonly step: number;
  readonly seeds: number;
  readonly keepsLines: boolean;
  readonly stopsAtFirst: boolean;
}

installMutant(process.env['HEADGATE_SIMULATION_MUTANT'] ?? null);
takeOver();
const { makeBase } = await import('./base.ts');
const { runSeed } = await import('./run-seed.ts');

async function work(task: Task): Promise<void> {
  const base = await makeBase();
  for (let index = 0; index < task.seeds; index += 1) {
    const outcome = await runSeed(base, task.first + index * task.step, task.keepsLines);
    await said(outcome);
    if (task.stopsAtFirst && outcome.violation !== null) break;
  }
}

function said(outcome: Outcome): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
    process.send?.(outcome, undefined, undefined, done);
  });
}

process.once('message', (task: Task) => {
  void work(task)
    .catch((error: unknown) => {
      // A mistake that breaks the very beginning is caught as well.
      const violation = `the simulator failed: ${error instanceof Error ? (error.stack ?? '') : String(error)}`;
      const nothing = { trace: '', events: 0, statements: 0, virtualMs: 0, lines: [] };
      return said({ seed: task.first, ...nothing, violation });
    })
    .finally(() => process.disconnect());
});
