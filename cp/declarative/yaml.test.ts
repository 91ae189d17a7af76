import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ALIASES_MAX, readYaml, YAML_DEPTH_MAX, YAML_VALUES_MAX } from './yaml.ts';
import { readYamlApart } from './yaml-thread.ts';

const errorOf = (text: string): string | null => {
  const result = readYaml(text);
  return result.ok ? null : result.error;
};
const valueOf = (text: string): unknown => {
  const result = readYaml(text);
  return result.ok ? result.value : result.error;
};

describe('YAML', () => {
  it.each<[string, unknown]>([
    ['yes', true],
    ['Off', false],
    ['true', true],
    ['y', 'y'],
    ['null', null],
    ['~', null],
    ['', null],
    ['0x10', 16],
    ['1e3', 1000],
    ['.5', 0.5],
    ['2024-01-02', '2024-01-02'],
    ['2024-01-02T03:04:05Z', '2024-01-02T03:04:05Z'],
    ['12:30:45', '12:30:45'],
    ['10.0.0.1:80', '10.0.0.1:80'],
    ['"yes"', 'yes'],
    ['9007199254740993', 9007199254740992],
  ])('reads %s as Kong does, dates and hours as text', (text, value) => {
    expect(valueOf(`a: ${text}`)).toEqual({ a: value });
  });

  it('merges what a merge key names', () => {
    const text = 'd: &d {port: 1, host: a}\ns:\n  - <<: *d\n    host: b\n  - *d\n';
    expect(valueOf(text)).toMatchObject({
      s: [
        { port: 1, host: 'b' },
        { port: 1, host: 'a' },
      ],
    });
  });

  it('keeps odd names as members like any other', () => {
    const value = valueOf('__proto__: {a: 1}\nconstructor: 2\n');
    expect(Object.keys(value as object)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });

  it.each([
    ['a key that comes twice', 'a: 1\na: 2\n', 'unique'],
    ['several documents', 'a: 1\n---\nb: 2\n', 'multiple documents'],
    ['a tag that nobody knows', 'a: !!js/function "x"\n', 'tag'],
    ['a bad indentation', 'a:\n - 1\n  - 2\n b: 3\n', 'line'],
    ['an alias of nothing', 'a: *b\n', 'alias'],
    ['a value that contains itself', 'a: &a [*a]\n', 'levels'],
    ['a tab', 'a:\n\t- 1\n', 'line'],
  ])('refuses %s', (_, text, part) => {
    expect(errorOf(text)?.toLowerCase()).toContain(part);
  });

  it('refuses a small text that stands for a huge value', () => {
    let text = 'a0: &a0 [x,x,x,x,x,x,x,x,x]\n';
    for (let i = 1; i < 12; i++) {
      text += `a${i}: &a${i} [${Array.from({ length: 9 }, () => `*a${i - 1}`).join(',')}]\n`;
    }
    expect(errorOf(text)).toMatch(/alias/i);
  });

  it('takes an anchor so many times, and what it stands for counts each time', () => {
    const many = (count: number, anchor: string) =>
      `a: &a ${anchor}\nb:\n${'- *a\n'.repeat(count)}`;
    expect(errorOf(many(ALIASES_MAX - 1, '{x: 1}'))).toBeNull();
    expect(errorOf(many(ALIASES_MAX, '{x: 1}'))).toMatch(/alias/i);
    const list = `[${'1,'.repeat(YAML_VALUES_MAX / 5_000)}1]`;
    expect(errorOf(many(6_000, list))).toContain('more than');
  });

  it('may nest so deep and no deeper', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    expect(errorOf(nested(YAML_DEPTH_MAX))).toBeNull();
    expect(errorOf(nested(YAML_DEPTH_MAX + 1))).toContain('levels');
    expect(errorOf(nested(10_000))).not.toBeNull();
  });

  it('is read in a thread, several texts one after the other', async () => {
    const texts = [
      'a: 1',
      stringify({ list: Array.from({ length: 1000 }, (_, i) => i) }),
      'a: [',
      'b: on',
    ];
    const results = await Promise.all(texts.map((text) => readYamlApart(text)));
    expect(results.map(({ ok }) => ok)).toEqual([true, true, false, true]);
    expect(results[3]).toEqual({ ok: true, value: { b: true } });
  });

  it('has so much time and memory, and what needs more is told so', async () => {
    const text = stringify(Array.from({ length: 20_000 }, (_, i) => ({ name: `n-${i}` })));
    const slow = await readYamlApart(text, { heapMb: 512, timeoutMs: 1 });
    expect(slow).toEqual({ ok: false, error: expect.stringContaining('more time') });
    const large = await readYamlApart(text, { heapMb: 16, timeoutMs: 20_000 });
    expect(large).toEqual({ ok: false, error: expect.stringContaining('more memory') });
    expect((await readYamlApart(text)).ok).toBe(true);
  });
});
