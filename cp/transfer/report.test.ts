import { describe, expect, it } from 'vitest';
import type { Verdict } from './document.ts';
import { jsonReport, type Report, textReport } from './report.ts';

const base: Verdict = {
  kind: 'routes',
  name: "'a'",
  id: null,
  at: 'kong.yml: routes[0]',
  outcome: 'taken over',
  changes: [],
  reasons: [],
  notes: [],
};

const report: Report = {
  source: 'kong.yml',
  target: 'http://127.0.0.1:8001',
  verdicts: [
    base,
    { ...base, name: "'b'", outcome: 'changed', changes: ['path /a$ is now ~/a$'] },
    { ...base, kind: 'plugins', name: '', outcome: 'not possible', reasons: ['it is Lua'] },
    { ...base, kind: 'keyauth_credentials', notes: ['30 s left'] },
  ],
  loaded: {
    ok: false,
    message: '400 no',
    errors: [{ kind: 'routes', name: 'a', texts: ['paths: bad'] }],
  },
  result: 'nothing was loaded',
};

describe('a report', () => {
  it('names in text what is not as it was, counts by kind and in sum', () => {
    expect(textReport(report, false)).toBe(
      `changed: routes 'b' (kong.yml: routes[0])
  path /a$ is now ~/a$
not possible: plugins (kong.yml: routes[0])
  it is Lua
taken over: keyauth_credentials 'a' (kong.yml: routes[0])
  30 s left

routes               1 taken over, 1 changed
plugins              1 not possible
keyauth_credentials  1 taken over
4 entities: 2 taken over, 1 changed, 1 not possible
routes a
  refused: paths: bad
nothing was loaded`,
    );
  });

  it('names everything when asked to', () => {
    expect(textReport(report, true)).toContain("taken over: routes 'a' (kong.yml: routes[0])");
  });

  it('has every verdict in JSON', () => {
    expect(JSON.parse(jsonReport(report))).toEqual({
      source: 'kong.yml',
      target: 'http://127.0.0.1:8001',
      taken_over: 2,
      changed: 1,
      not_possible: 1,
      loaded: false,
      result: 'nothing was loaded',
      errors: [{ kind: 'routes', name: 'a', texts: ['paths: bad'] }],
      verdicts: report.verdicts,
    });
  });
});
