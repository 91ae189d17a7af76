import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { edited } from './mutant-hook.ts';
import { MUTANTS } from './mutants.ts';

const ROOT = new URL('../../', import.meta.url);

it.each(MUTANTS)('the mistake $name still fits the source', async ({ name, edits }) => {
  for (const [file, changes] of Object.entries(edits)) {
    const source = await readFile(new URL(file, ROOT), 'utf8');
    expect(edited(source, changes, name)).not.toBe(source);
  }
});

it('there are at least twenty of them, by different names', () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBeGreaterThanOrEqual(20);
});
