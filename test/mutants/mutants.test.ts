import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { NEXT_CHANGES } from '../upgrade/next-release.ts';
import { MUTANTS } from './mutants.ts';

const pathOf = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

describe('mutants', () => {
  it.each(Object.entries(MUTANTS))('still fit: %s', (_name, { changes, test }) => {
    expect(existsSync(pathOf(test))).toBe(true);
    for (const { file, find } of changes) {
      expect(readFileSync(pathOf(file), 'utf8').split(find)).toHaveLength(2);
    }
  });

  it.each(NEXT_CHANGES)('leave a next release to be made of $file', ({ file, find }) => {
    expect(readFileSync(pathOf(file), 'utf8').split(find)).toHaveLength(2);
  });
});
