/** `node test/mutants/run.ts [name…]`: are the mutants caught? All of them take some minutes. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Mutant, MUTANTS } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED =
  'cp shared test infra node-dp edge-dp headgate.mjs package.json vitest.config.ts tsconfig.json tsconfig.base.json'.split(
    ' ',
  );
/** Of one test file. */
const TIMEOUT_MS = 300_000;

/** `unclear`: the tests did not get so far, on a machine that has too much to do. */
function outcomeOf({ changes, project, test }: Mutant): 'caught' | 'survived' | 'unclear' {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-mutant-'));
  try {
    for (const name of COPIED) {
      const filter = (source: string) => !source.includes('node_modules');
      cpSync(join(ROOT, name), join(folder, name), { recursive: true, filter });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const { file, find, replace } of changes) {
      const path = join(folder, file);
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace(find, () => replace),
      );
    }
    const vitest = join(folder, 'node_modules', 'vitest', 'vitest.mjs');
    const args = [vitest, 'run', '--project', project, '--bail', '1', test];
    const { stdout, status } = spawnSync(process.execPath, args, {
      cwd: folder,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });
    // A test that failed, not a file that could not be loaded, or a hook that took too long.
    if (status === 1 && /Tests .*\d+ failed/.test(stdout)) return 'caught';
    return status === 0 ? 'survived' : 'unclear';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const asked = process.argv.slice(2);
const chosen = Object.entries(MUTANTS).filter(
  ([name]) => asked.length === 0 || asked.some((part) => name.includes(part)),
);
let others = 0;
for (const [name, mutant] of chosen) {
  const outcome = outcomeOf(mutant);
  if (outcome !== 'caught') others += 1;
  console.info(`${outcome}: ${name} (${mutant.test})`);
}
console.info(`${chosen.length} mutants, ${others} not caught`);
process.exitCode = others === 0 && chosen.length > 0 ? 0 : 1;
