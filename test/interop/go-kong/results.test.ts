import { describe, expect, it } from 'vitest';
import expected from './expected.json' with { type: 'json' };
import { judge, parseGoTest } from './results.ts';

const OUTPUT = `=== RUN   TestOne
=== RUN   TestOne/sub_test
--- PASS: TestOne (0.01s)
    --- PASS: TestOne/sub_test (0.00s)
=== RUN   TestTwo
    two_test.go:3: message
--- SKIP: TestTwo (0.00s)
=== RUN   TestThree
--- FAIL: TestThree (0.00s)
=== RUN   TestFour
panic: runtime error
`;

const LISTS = { live: { one: ['TestOne'] }, withoutServer: [], skipped: { why: ['TestTwo'] } };

describe('the results of go test', () => {
  it('are read per top-level test, with what a panic cut off', () => {
    expect([...parseGoTest(OUTPUT)]).toEqual([
      ['TestOne', 'passed'],
      ['TestTwo', 'skipped'],
      ['TestThree', 'failed'],
      ['TestFour', 'unfinished'],
    ]);
  });

  it('are good when the listed ran and the others were skipped', () => {
    const outcomes = new Map([
      ['TestOne', 'passed'],
      ['TestTwo', 'skipped'],
    ] as const);
    expect(judge(outcomes, LISTS)).toEqual({
      passed: ['TestOne'],
      failed: [],
      skipped: ['TestTwo'],
    });
  });

  it.each([
    ['skipped', 'TestOne: skipped'],
    ['failed', 'TestOne: failed'],
    ['unfinished', 'TestOne: unfinished'],
  ] as const)('fail when a listed test is %s', (outcome, message) => {
    const outcomes = new Map([
      ['TestOne', outcome],
      ['TestTwo', 'skipped'],
    ] as const);
    expect(judge(outcomes, LISTS).failed).toEqual([message]);
  });

  it('fail when nothing ran, when a skipped test ran, and when one is on no list', () => {
    expect(judge(new Map(), LISTS).failed).toEqual([
      'TestOne: did not run',
      'TestTwo: did not run, though listed as skipped',
    ]);
    const outcomes = new Map([
      ['TestOne', 'passed'],
      ['TestTwo', 'passed'],
      ['TestNew', 'passed'],
    ] as const);
    expect(judge(outcomes, LISTS).failed).toEqual([
      'TestTwo: passed, though listed as skipped',
      'TestNew: passed, and not in expected.json',
    ]);
  });
});

describe('the list of go-kong’s tests', () => {
  it('has the 123 that run against Kong 3.9 OSS with a database, and each test once', () => {
    const live = Object.values(expected.live).flat();
    const skipped = Object.values(expected.skipped).flat();
    const all = [...live, ...expected.withoutServer, ...skipped];
    expect(live).toHaveLength(123);
    expect(new Set(all).size).toBe(all.length);
  });
});
