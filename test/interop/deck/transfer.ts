/** That decK and Headgate's own import and export read each other's files. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Finished, run } from '../support/go.ts';
import { type Deck, tail } from './deck.ts';
import type { Step } from './steps.ts';

const PROGRAM = fileURLToPath(new URL('../../../headgate.mjs', import.meta.url));
const COMMAND_MS_MAX = 60_000;

/** While something is loaded; leaves it as it is. */
export function transferSteps(deck: Deck): Step[] {
  return [
    [
      'finds no difference in what headgate export writes',
      async () => {
        const file = join(deck.folder, 'exported.yml');
        await headgate('export', '--from', deck.url, '-o', file);
        const changes = await deck.diff(file);
        assert.deepEqual(changes, { code: 0, created: 0, updated: 0, deleted: 0 });
      },
    ],
    [
      'dumps what headgate import takes over and finds no difference in',
      async () => {
        const file = deck.write('for-import', await deck.dump('--with-id'));
        const { output } = await headgate('import', file, '--to', deck.url);
        assert.match(output, / 0 changed, 0 not possible\n/, tail(output));
        assert.match(output, /: created=0, updated=0, removed=0\n/, tail(output));
      },
    ],
  ];
}

async function headgate(...args: readonly string[]): Promise<Finished> {
  const finished = await run(process.execPath, [PROGRAM, ...args], {
    cwd: fileURLToPath(new URL('../../../', import.meta.url)),
    env: {},
    timeoutMs: COMMAND_MS_MAX,
  });
  assert.equal(finished.code, 0, tail(finished.output));
  return finished;
}
