/**
 * Runs every mutant against the test that is there to notice it: `npm run chaos:mutants`, with a part of
 * a name to run fewer. Each must make its test fail; the last line says how many did.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MUTANTS } from './mutants.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const VITEST = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));

const wanted = process.argv[2] ?? '';
const chosen = Object.entries(MUTANTS).filter(([name]) => name.includes(wanted));
let caught = 0;
for (const [name, { file, test }] of chosen) {
  const args = [VITEST, 'run', '--project', 'servers', `${HERE}${file}`, '-t', test];
  const env = {
    ...process.env,
    CHAOS_MUTANT: name,
    CHAOS_ROUNDS: '8',
    CHAOS_SEED: '11',
    NO_COLOR: '1',
  };
  const run = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  const { status } = run;
  const said = run.stdout + run.stderr;
  // A test that failed, not a file that could not be loaded or a program that did not start.
  const reason = /AssertionError: .*|Error: waited .*/.exec(said)?.[0];
  const isCaught = status !== 0 && / failed/.test(said) && reason !== undefined;
  if (isCaught) caught++;
  console.log(
    `${isCaught ? 'caught' : 'NOT CAUGHT'}: ${name} (${reason?.slice(0, 160) ?? said.slice(-2_000)})`,
  );
}
console.log(`${caught} of ${chosen.length} mutants caught`);
process.exitCode = caught === chosen.length && caught > 0 ? 0 : 1;
