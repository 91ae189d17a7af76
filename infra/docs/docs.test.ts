import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { withSettings } from './generate.ts';

it('the settings in README.md are those of the definitions (npm run gen)', () => {
  const text = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');
  expect(text).toContain('<!-- settings:begin -->');
  expect(withSettings(text)).toBe(text);
});
