import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FILES_MAX, parseDocument, readFiles, SOURCE_BYTES_MAX } from './read-files.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-transfer-'));
});
afterEach(() => rm(folder, { recursive: true }));

const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);

function parsed(text: string, env: Record<string, string> = {}): unknown {
  return parseDocument(text, 'x.yml', env);
}

describe('a source of files', () => {
  it('is one file, whatever its name', async () => {
    await write('state', '_format_version: "3.0"');
    const documents = await readFiles(join(folder, 'state'), {});
    expect(documents).toEqual([
      { label: join(folder, 'state'), content: { _format_version: '3.0' }, isLive: false },
    ]);
  });

  it('is all of a folder, in order, folders below included', async () => {
    await mkdir(join(folder, 'b'));
    await write('c.yaml', 'x: 1');
    await write('a.JSON', '{"x": 2}');
    await write('b/d.yml', 'x: 3');
    await write('empty.yml', '# nothing\n');
    await write('notes.txt', 'x: 4');
    const documents = await readFiles(folder, {});
    expect(documents.map(({ content }) => content)).toEqual([{ x: 2 }, { x: 3 }, { x: 1 }]);
  });

  it.each([
    ['gone.yml', /gone\.yml: cannot read it, ENOENT/],
    ['.', /no \.yaml, \.yml or \.json file in there/],
  ])('is refused by name: %s', async (name, message) => {
    await expect(readFiles(join(folder, name), {})).rejects.toThrow(message);
  });

  it('is refused when nothing is in it', async () => {
    await write('empty.yml', '# nothing\n');
    await expect(readFiles(folder, {})).rejects.toThrow(/nothing in there/);
  });
});

describe('the bounds of a source', () => {
  it(`are ${FILES_MAX} files`, async () => {
    const names = Array.from({ length: FILES_MAX + 1 }, (_, i) => `${i}.yml`);
    for (const name of names) await write(name, '');
    await expect(readFiles(folder, {})).rejects.toThrow(/2001 files; allowed: 2000/);
    await rm(join(folder, '0.yml'));
    await expect(readFiles(folder, {})).rejects.toThrow(/nothing in there/);
  });

  it(`are ${SOURCE_BYTES_MAX} bytes in all files together`, async () => {
    await write('a.yml', 'x: 1');
    await write('b.yml', '');
    await truncate(join(folder, 'b.yml'), SOURCE_BYTES_MAX - 3);
    await expect(readFiles(folder, {})).rejects.toThrow(/b\.yml: too large; allowed: 134217728/);
  });
});

describe('the YAML of a document', () => {
  it('has the anchors, merges and words that Kong and decK know', () => {
    const text =
      'd: &d {a: 1, on: 2}\nlist:\n  - <<: *d\n    b: yes\n  - *d\nc: "yes"\nt: 2024-01-01\n';
    expect(parsed(text)).toEqual({
      d: { a: 1, true: 2 },
      list: [
        { a: 1, true: 2, b: true },
        { a: 1, true: 2 },
      ],
      c: 'yes',
      t: '2024-01-01',
    });
  });

  it.each([
    ['a: [1', /^x\.yml: .* at line 1/],
    ['a: 1\na: 2', /^x\.yml: Map keys must be unique at line 2/],
    ['- 1', /^x\.yml: expected a map at the top/],
  ])('is refused with its place: %s', (text, message) => {
    expect(() => parsed(text)).toThrow(message);
  });

  it('shows nothing of the text around a mistake: it may be a secret', () => {
    expect(() => parsed('key: secret\n  x: [')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });
});

describe("decK's templates", () => {
  const env = {
    DECK_HOST: 'a.test',
    DECK_PORT: '81',
    DECK_ON: 'true',
    DECK_PEM: 'a\nb',
    OTHER: 'x',
  };

  it('are filled in before the text is read', () => {
    const text =
      'h: "${{ env "DECK_HOST" }}"\np: ${{ env "DECK_PORT" | toInt }}\no: ${{env "DECK_ON" | toBool}}\n' +
      'c: |\n  ${{ env "DECK_PEM" | indent 2 }}\n# ${{ env "NOT_HERE" }}\n';
    expect(parsed(text, env)).toEqual({ h: 'a.test', p: 81, o: true, c: 'a\nb\n' });
  });

  it.each([
    ['${{ env "DECK_GONE" }}', /variable DECK_GONE is not set/],
    ['${{ env "OTHER" }}', /variable OTHER in a template must begin with DECK_/],
    ['${{ env "DECK_HOST" | toInt }}', /value of DECK_HOST does not suit toInt/],
    ['${{ env "DECK_HOST" | upper }}', /is not understood; allowed/],
    ['${{ printf "x" }}', /printf "x" \}\} is not understood/],
  ])('are refused by name: %s', (template, message) => {
    expect(() => parsed(`a: ${template}`, env)).toThrow(message);
  });
});
