import { describe, expect, it } from 'vitest';
import { keysOfHosts, keysOfName, patternsOf } from './server-names.ts';

const NAMES = 'a.a a.b b.a b.b a.a.a a.a.b a.b.a a.b.b b.a.a b.a.b b.b.a b.b.b'.split(' ');
const PATTERNS = [...NAMES, '*.a', '*.b', '*.a.b', '*.b.a', 'a.*', 'b.*', 'a.b.*', 'b.a.*'];

/** As routes take them: a star is any number of labels. */
function matches(pattern: string, name: string): boolean {
  if (pattern.startsWith('*')) return name.endsWith(pattern.slice(1));
  if (pattern.endsWith('*')) return name.startsWith(pattern.slice(0, -1));
  return pattern === name;
}

function isNeeded(hosts: readonly string[], sni: string): boolean {
  const keys = new Set(keysOfHosts(hosts));
  return keysOfName(sni).some((key) => keys.has(key));
}

describe('server names', () => {
  it('are needed wherever a name belongs to both the route and the SNI', () => {
    for (const host of PATTERNS) {
      for (const sni of PATTERNS) {
        const both = NAMES.some((name) => matches(host, name) && matches(sni, name));
        if (both) expect(isNeeded([host], sni), `${sni} for ${host}`).toBe(true);
      }
    }
  });

  it.each([
    ['a.x.test', 'b.x.test'],
    ['a.x.test', '*.y.test'],
    ['*.x.test', 'a.y.test'],
    ['*.x.test', '*.y.test'],
    ['a.x.*', 'b.x.test'],
    ['a.x.*', 'a.y.*'],
  ])('are not needed by %s when they are %s', (host, sni) => {
    expect(isNeeded([host], sni)).toBe(false);
  });

  it('count without port and case, and the default certificate counts for all', () => {
    expect(isNeeded(['A.x.test:8443'], 'a.X.test')).toBe(true);
    expect(isNeeded(['a.x.test'], '*')).toBe(true);
    expect(isNeeded([], 'a.x.test')).toBe(true);
  });

  it('are found in SQL by patterns that take % and _ as they are', () => {
    expect(patternsOf(['=a', 'under x_y', 'before z%'])).toEqual({
      isAny: false,
      exact: ['a'],
      like: [String.raw`%.x\_y`, String.raw`z\%.%`],
    });
  });
});
