import { existsSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import { PLUGIN_DEFINITIONS } from '#shared/plugins/definitions.ts';
import { HANDLERS } from '#shared/plugins/handlers.ts';
import { isTest, read, ROOT, sourceFiles, trackedFiles, withoutComments } from './tree.ts';

const FILE_LINES_MAX = 500;
const TEST_LINES_MAX = 800;
const FUNCTION_LINES_MAX = 70;
const LINE_LENGTH_MAX = 120;

const files = sourceFiles();

describe('the tree', () => {
  it('shows the architecture', () => {
    const folders = trackedFiles()
      .filter((file) => file.includes('/'))
      .map((file) => file.split('/')[0]);
    expect([...new Set(folders)].toSorted()).toEqual([
      '.ci',
      'cp',
      'edge-dp',
      'infra',
      'node-dp',
      'shared',
      'test',
    ]);
  });

  it('keeps files under 500 lines, tests under 800', () => {
    const long = files
      .map((file) => [file, read(file).split('\n').length] as const)
      .filter(([file, lines]) => lines > (isTest(file) ? TEST_LINES_MAX : FILE_LINES_MAX));
    expect(long).toEqual([]);
  });

  it('keeps functions under 70 lines', () => {
    const long = files.filter((file) => !isTest(file)).flatMap((file) => longFunctions(file));
    expect(long).toEqual([]);
  });

  it('keeps lines readable', () => {
    const long = files.flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, i) =>
          line.length > LINE_LENGTH_MAX && !isText(line) ? [`${file}:${i + 1}`] : [],
        ),
    );
    expect(long).toEqual([]);
  });

  it('names files in kebab-case', () => {
    const odd = files.filter(
      (file) => !/^[a-z0-9-]+(\.[a-z0-9-]+)*\.ts$/.test(file.split('/').at(-1) ?? ''),
    );
    expect(odd).toEqual([]);
  });

  it('keeps clock, randomness, I/O and code generation out of shared/', () => {
    const banned =
      /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|(?<![/\w])process\.|Buffer\.|console\.|eval\(|new Function|(?<![#.\w])fetch\()/;
    const broken = files
      .filter((file) => file.startsWith('shared/') && !file.startsWith('shared/platform/node/'))
      .filter((file) => !isTest(file))
      .flatMap((file) => linesMatching(file, banned));
    expect(broken).toEqual([]);
  });

  it('has no escape hatches from the type checker', () => {
    const banned = /@ts-(ignore|expect-error|nocheck)/;
    expect(
      files
        .filter((f) => f !== 'test/tidy/tidy.test.ts')
        .flatMap((f) => linesMatching(f, banned, true)),
    ).toEqual([]);
  });

  it('focuses or skips no test without a reason', () => {
    const banned = /\b(it|describe|test)\.(only|todo)\b/;
    const broken = files
      .filter((f) => !f.startsWith('test/tidy/'))
      .flatMap((f) => linesMatching(f, banned));
    expect(broken).toEqual([]);
  });

  it('has a schema for each plugin, and a handler and its test for each that runs', () => {
    const folders = new Set(
      files
        .filter((file) => /^shared\/plugins\/[^/]+\//.test(file))
        .map((file) => file.split('/')[2] ?? ''),
    );
    expect([...folders].toSorted()).toEqual([...PLUGIN_DEFINITIONS.keys()].toSorted());
    for (const { name, runtimes } of PLUGIN_DEFINITIONS.values()) {
      const runs = runtimes.length > 0;
      const there = ['schema.ts', 'handler.ts', `${name}.test.ts`].map((file) =>
        existsSync(`${ROOT}shared/plugins/${name}/${file}`),
      );
      expect([name, ...there]).toEqual([name, true, runs, runs]);
      expect([name, HANDLERS.has(name)]).toEqual([name, runs]);
    }
  });

  it('can run what it calls a command', () => {
    const scripts = trackedFiles().filter((file) => read(file).startsWith('#!'));
    expect(scripts).toContain('headgate.mjs');
    expect(scripts.filter((file) => (statSync(ROOT + file).mode & 0o111) === 0)).toEqual([]);
  });

  it('says the same version everywhere', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(HEADGATE_VERSION).toBe(version);
    expect(read('CHANGELOG.md')).toContain(`## ${version}`);
  });

  it('pins every dependency exactly, and names no registry host in the lock file', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
      string,
      Record<string, string>
    >;
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[a-z0-9.]+)?$/.test(version),
    );
    expect(loose).toEqual([]);
    expect(read('package-lock.json')).not.toMatch(/"resolved":/);
  });

  it('commits no secret and no account', () => {
    const broken = trackedFiles()
      .filter((file) => !/\.(png|ico)$/.test(file) && file !== 'package-lock.json')
      .filter((file) =>
        /-----BEGIN (EC |RSA )?PRIVATE KEY-----\n[A-Za-z0-9+/]{20}|account_id\s*=\s*"[0-9a-f]{32}"/.test(
          read(file),
        ),
      );
    expect(broken).toEqual([]);
  });
});

/** Prose and data that a formatter cannot break. */
function isText(line: string): boolean {
  return (
    /^\s*(\/\/|\*|['"`]|\w+: ['"`]|it(\.each)?\(|message:)/.test(line) ||
    /['"`/][^'"`]{40,}['"`/]/.test(line)
  );
}

function linesMatching(file: string, pattern: RegExp, withComments = false): string[] {
  const text = withComments ? read(file) : withoutComments(read(file));
  return text
    .split('\n')
    .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim()}`] : []));
}

/**
 * Functions and methods by indentation, which the formatter guarantees: from a line that opens a
 * function's body to the line that closes it at the same depth.
 */
function longFunctions(file: string): string[] {
  const lines = withoutComments(read(file)).split('\n');
  const found: string[] = [];
  for (const [i, line] of lines.entries()) {
    if (!opensFunction(line)) continue;
    const indent = /^ */.exec(line)?.[0] ?? '';
    const end = lines.findIndex((other, j) => j > i && new RegExp(`^${indent}\\}`).test(other));
    if (end - i > FUNCTION_LINES_MAX) found.push(`${file}:${i + 1} (${end - i} lines)`);
  }
  return found;
}

function opensFunction(line: string): boolean {
  if (
    !line.endsWith('{') ||
    /^\s*(if|for|while|switch|else|\}|try|do|class|interface)\b/.test(line)
  )
    return false;
  return /\bfunction\b|=>\s*\{$|^\s*(static |async |override |get |set |\*|#)*[\w#]+(<[^>]*>)?\(.*\{$|^\s*\).*\{$/.test(
    line,
  );
}
