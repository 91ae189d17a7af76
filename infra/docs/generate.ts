/** `npm run gen`: writes into README.md what is derived from definitions. A test keeps it current. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { settingsTables } from './settings-table.ts';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));

export function withSettings(text: string): string {
  return text.replace(
    /(<!-- settings:begin -->\n)[\s\S]*?(\n<!-- settings:end -->)/,
    (_, begin: string, end: string) => `${begin}\n${settingsTables()}${end}`,
  );
}

if (import.meta.main) {
  writeFileSync(README, withSettings(readFileSync(README, 'utf8')));
}
