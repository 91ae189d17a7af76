import { describe, expect, it } from 'vitest';
import { judge, parseReport } from './results.ts';

const REPORT = `<testsuite>
  <testcase package="http2/1" classname="a &#34;b&#34;" time="1"></testcase>
  <testcase package="http2/1" classname="c" time="1">
    <error>GOAWAY\u0000</error>
  </testcase>
  <testcase package="http2/2" classname="d" time="1">
    <failure>x</failure>
  </testcase>
</testsuite>`;

describe('a report of h2spec', () => {
  it('is read test by test', () => {
    expect(parseReport(REPORT)).toEqual([
      { name: 'http2/1: a "b"', isFailed: false },
      { name: 'http2/1: c', isFailed: true },
      { name: 'http2/2: d', isFailed: true },
    ]);
  });

  it('is judged by what is known, and by nothing that did not run', () => {
    const exceptions = { 'as Node has it': ['http2/1: c'], 'long gone': ['http2/9: x'] };
    const verdict = judge(parseReport(REPORT), exceptions);

    expect(verdict.passed).toBe(1);
    expect([...verdict.excepted]).toEqual([['http2/1: c', 'as Node has it']]);
    expect(verdict.failed).toEqual(['http2/2: d', 'http2/9: x: did not run']);
  });
});
