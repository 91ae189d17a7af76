import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportOptions, importOptions } from './options.ts';

let folder = '';
const file = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-options-'));
  await writeFile(file('token'), 'from-a-file\n');
  await writeFile(file('headers'), 'X-Team: a: b\n\nAuthorization: Bearer x\n');
  await writeFile(file('bad-headers'), 'X-Team: a\nno header\n');
});
afterAll(() => rm(folder, { recursive: true }));

describe('the arguments of import', () => {
  it('have defaults', () => {
    expect(importOptions(['kong.yml'], {})).toEqual({
      source: 'kong.yml',
      to: new URL('http://127.0.0.1:8001'),
      isToGiven: false,
      workspace: null,
      createWorkspace: false,
      dryRun: false,
      skipImpossible: false,
      force: false,
      format: 'text',
      verbose: false,
      headers: {},
      sourceHeaders: {},
      ca: null,
    });
  });

  it.each([
    [[], /^SOURCE is missing/],
    [['a', 'b'], /^one SOURCE only; 'b' is one too many/],
    [['a', '--frob'], /'--frob'/],
    [['a', '--to'], /--to/],
    [['a', '--to', 'ftp://x'], /^--to is 'ftp:\/\/x'; allowed: http:/],
    [['a', '--to', 'http://u:p@x'], /^--to must not hold a user or password/],
    [['a', '--format', 'xml'], /^--format is 'xml'; allowed: text, json/],
    [['a', '--workspace', ''], /^--workspace is empty/],
    [['a', '--token-file', '/gone'], /^--token-file is '\/gone': cannot read it/],
    [['a', '--cacert', '/gone'], /^--cacert is '\/gone'/],
    [['a', '--source-headers-file', '/gone'], /^--source-headers-file is '\/gone'/],
    [['a', '--token', 'secret'], /'--token'/],
  ])('are refused by name: %j', (args, message) => {
    expect(() => importOptions(args, {})).toThrow(message);
  });

  it('ask for help', () => {
    expect(importOptions(['--help'], {})).toBeNull();
    expect(exportOptions(['-h'], {})).toBeNull();
  });

  it('take tokens from files and the environment only, files first', () => {
    const args = ['x', '--token-file', file('token')];
    const env = { HEADGATE_ADMIN_TOKEN: 'direct', HEADGATE_SOURCE_TOKEN_FILE: file('token') };
    expect(importOptions(args, env)).toMatchObject({
      headers: { 'Kong-Admin-Token': 'from-a-file' },
      sourceHeaders: { 'Kong-Admin-Token': 'from-a-file' },
    });
    expect(importOptions(['x'], env)?.headers).toEqual({ 'Kong-Admin-Token': 'direct' });
    expect(() => importOptions(['x'], { HEADGATE_ADMIN_TOKEN_FILE: '/gone' })).toThrow(
      /^HEADGATE_ADMIN_TOKEN_FILE is '\/gone'/,
    );
    expect(() => importOptions(['x'], { HEADGATE_ADMIN_TOKEN: 'a\nb' })).toThrow(/printable/);
  });

  it('take headers for the source from a file', () => {
    const args = ['x', '--source-headers-file', file('headers')];
    expect(importOptions(args, {})?.sourceHeaders).toEqual({
      'X-Team': 'a: b',
      Authorization: 'Bearer x',
    });
    expect(() => importOptions(['x', '--source-headers-file', file('bad-headers')], {})).toThrow(
      /line 2 is no "Name: value"/,
    );
  });
});

describe('the arguments of export', () => {
  it('are read', () => {
    const args = ['--from', 'https://cp.test', '--workspace', 'w', '--format', 'kong', '-o', 'x'];
    expect(exportOptions(args, {})).toEqual({
      from: new URL('https://cp.test'),
      workspace: 'w',
      format: 'kong',
      output: 'x',
      headers: {},
      ca: null,
    });
    expect(exportOptions(['-o', '-'], {})?.output).toBeNull();
  });

  it.each([
    [['a'], /^'a' is not known; -o names the file/],
    [['--format', 'yaml'], /^--format is 'yaml'; allowed: deck, kong/],
    [['--from', 'x'], /^--from is 'x'/],
  ])('are refused by name: %j', (args, message) => {
    expect(() => exportOptions(args, {})).toThrow(message);
  });
});
