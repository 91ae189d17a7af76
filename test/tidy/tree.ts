/** The repository's own files, for the tests that keep its shape. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Files that git tracks or would track, relative to the root. */
export function trackedFiles(): string[] {
  const output = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return output.split('\n').filter((file) => file !== '' && existsSync(ROOT + file));
}

export function read(file: string): string {
  return readFileSync(ROOT + file, 'utf8');
}

export function sourceFiles(): string[] {
  return trackedFiles().filter((file) => file.endsWith('.ts'));
}

/** Tests, suites, benchmarks and what stands in `test/`: code that no program runs. */
export function isTest(file: string): boolean {
  return file.startsWith('test/') || /\.(test|suite|bench|cases)\.ts$/.test(file);
}

/** Specifiers that a file imports, statically or not, types included. */
export function importsOf(file: string): string[] {
  const found: string[] = [];
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|^import\s+)['"]([^'"]+)['"]/gm;
  for (const match of withoutComments(read(file)).matchAll(pattern)) found.push(match[1] ?? '');
  return found;
}

/** Blanks comments, keeping strings and line numbers; good enough for code that the formatter wrote. */
export function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[\s;{}(,])\/\/[^\n]*/g, (_, before: string) => before);
}
