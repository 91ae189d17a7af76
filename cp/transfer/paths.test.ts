import { describe, expect, it } from 'vitest';
import { migratedPath } from '../declarative/format.ts';
import { assessed, judgeRoute, loadedOf } from './transfer.suite.ts';

describe('regexes of routes', () => {
  it.each([
    ['~/a/(?!b)c', /look-ahead.*another route/],
    ['~/a/(?=b)', /look-ahead/],
    ['~/(?<!x)a', /look-behind/],
    [String.raw`~/(a)/\1`, /a back-reference.*write out/],
    [String.raw`~/(?<x>a)/\k<x>`, /a back-reference/],
    ['~/(?>a+)b', /an atomic group.*try \/\(\?:a\+\)b, which may match more/],
    [String.raw`~/a\Z`, /\\Z.*try \/a\\z$/],
    [String.raw`~/a\h+`, /\\h.*try \/a\[\\t \]\+$/],
    ['~/user/{id}', /a brace that repeats nothing.*try \/user\/\\\{id\\\}$/],
    ['~/(?1)', /recursion/],
    ['~/(?(1)a|b)', /a conditional group/],
    [String.raw`~/a\K`, /\\K/],
    ['~/a(', /missing closing/],
  ])('%s is not possible, and it is said why', async (path, reason) => {
    const verdict = await judgeRoute({ paths: [path] });
    expect(verdict.outcome).toBe('not possible');
    expect(verdict.reasons).toHaveLength(1);
    expect(verdict.reasons[0]).toMatch(reason);
  });

  it.each([
    '~/a/\\d+$',
    '~/(?<id>[^/]+)/x{2,3}',
    '~/(?i)abc',
    '~/a\\/b\\.c-_',
    String.raw`~/a\b`,
    String.raw`~/(a+)+\b`,
    '~/a++b',
    '~/[a-z&&[^b]]',
    String.raw`~/\\1`,
    String.raw`~/a\(?!b`,
    '/plain/path',
  ])('%s is taken over', async (path) => {
    expect(await judgeRoute({ paths: [path] })).toMatchObject({
      outcome: 'taken over',
      reasons: [],
    });
  });

  it('are judged in headers as well', async () => {
    const { outcome, reasons } = await judgeRoute({ headers: { 'x-a': ['ok', '~*^a(?=b)'] } });
    expect(outcome).toBe('not possible');
    expect(reasons[0]).toMatch(/^header x-a ~\*\^a\(\?=b\): it uses look-ahead/);
  });

  it('are all told of', async () => {
    const { reasons } = await judgeRoute({ paths: ['~/(?=a)', '~/ok', '~/(?>a)'] });
    expect(reasons).toHaveLength(2);
  });
});

describe('paths of formats below 3.0', () => {
  it.each([
    ['/plain', '/plain'],
    ['/a%7Eb', '/a~b'],
    ['/a//b/../c', '/a/c'],
    [String.raw`/a/\d+`, String.raw`~/a/\d+`],
    ['/a$', '~/a$'],
    ['/a%2Eb(c)', String.raw`~/a\.b(c)`],
    ['/a%2f(b)', '~/a%2F(b)'],
    ['/a%41(b)', '~/aA(b)'],
    ['/%c3%a9(b)', '~/é(b)'],
    ['/%e9%2e(b)', '~/%E9%2E(b)'],
    ['/a b', '~/a b'],
  ])('%s becomes %s', (path, migrated) => {
    expect(migratedPath(path)).toBe(migrated);
  });

  it.each(['1.1', '2.1'])('are changed in format %s, and it is said how', async (version) => {
    const content = { _format_version: version, routes: [{ name: 'r', paths: ['/a/\\d+', '/b'] }] };
    const assessment = await assessed(content);
    expect(assessment.verdicts[0]).toMatchObject({
      outcome: 'changed',
      changes: ['path /a/\\d+ is now ~/a/\\d+'],
    });
    expect(loadedOf(assessment, 'routes')['paths']).toEqual(['~/a/\\d+', '/b']);
    expect(assessment.document['_format_version']).toBe('3.0');
  });

  it('stay as they are in format 3.0', async () => {
    expect(await judgeRoute({ paths: ['/a'] })).toMatchObject({ outcome: 'taken over' });
  });
});

describe('routes in the expression language', () => {
  it('are not possible', async () => {
    const { outcome, reasons } = await judgeRoute({ expression: 'http.path == "/a"', priority: 3 });
    expect(outcome).toBe('not possible');
    expect(reasons[0]).toMatch(/^expression: routes are written with hosts/);
  });

  it('are meant by no field that every route of such a router has', async () => {
    const verdict = await judgeRoute({ paths: ['/a'], expression: null, priority: 0 });
    expect(verdict.outcome).toBe('taken over');
  });
});
