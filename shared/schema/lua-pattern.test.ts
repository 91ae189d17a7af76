import { describe, expect, it } from 'vitest';
import { compileLuaPattern } from './lua-pattern.ts';

describe('a Lua pattern', () => {
  it.each([
    ['^%u+$', 'GET', true],
    ['^%u+$', 'Get', false],
    ['^%u+$', '', false],
    ['^[^*]*%*?[^*]*$', 'a.*.b', true],
    ['^[^*]*%*?[^*]*$', '*.*', false],
    ['^%*%.', '*.example.com', true],
    ['^%*%.', 'a*.example.com', false],
    ['%.%*$', 'example.*', true],
    ['%.%*$', 'example.*.b', false],
    ['//', 'a//b', true],
    ['//', '/a/b/', false],
    ['^[Hh][Oo][Ss][Tt]$', 'hOsT', true],
    ['^[Hh][Oo][Ss][Tt]$', 'hosts', false],
    ['^[^:]+:.*$', 'a:b:c', true],
    ['^[^:]+:.*$', ':b', false],
    ['^[a-z][a-z%d-]-[a-z%d]+$', 'my-vault-1', true],
    ['^[a-z][a-z%d-]-[a-z%d]+$', 'my-vault-', false],
    ['^%d+[%.%d]*$', '3.9.4', true],
    ['%d%D', 'a1b', true],
    ['%d%D', 'a11', false],
    ['^[]]$', ']', true],
    ['^[a-]$', '-', true],
    ['^(%w+)$', 'word9', true],
    ['^%x+%s%p$', 'fA9 !', true],
    ['^.$', 'é', true],
    ['^%a$', 'é', false],
    ['a$b', 'a$b', true],
    ['', '', true],
    ['', 'anything', true],
  ])('%j on %j: %s', (pattern, text, expected) => {
    expect(compileLuaPattern(pattern)(text)).toBe(expected);
  });

  it('takes time linear in the text where backtracking would be quadratic', () => {
    const test = compileLuaPattern('^[^*]*%*?[^*]*$');
    const hostile = `${'a'.repeat(500_000)}*${'a'.repeat(499_999)}*`;

    expect(test(hostile)).toBe(false);
  });

  it.each(['%b()', '%f[%a]', '(a)%1', '[abc', 'a%'])(
    'refuses %j, which it does not know',
    (bad) => {
      expect(() => compileLuaPattern(bad)).toThrow(/Lua pattern/);
    },
  );

  it('refuses a pattern with more items than it has states', () => {
    expect(() => compileLuaPattern('a'.repeat(30))).not.toThrow();
    expect(() => compileLuaPattern('a'.repeat(31))).toThrow(/too long/);
  });
});
