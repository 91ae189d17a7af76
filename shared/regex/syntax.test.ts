/**
 * Rust's syntax, construct by construct. Sources: docs.rs/regex 1.12 "Syntax"; regex-syntax 0.8
 * `ast/parse.rs`, `hir/translate.rs`.
 */
import { describe, expect, it } from 'vitest';
import { compileExpressionRegex, compileSearchRegex } from './regex.ts';

/** Of each text, what is matched first, or null. */
function found(source: string, texts: readonly string[]): (string | null)[] {
  const compiled = compileExpressionRegex(source, false);
  if (!compiled.ok) throw new Error(`${source}: ${compiled.reason}`);
  const { regex } = compiled;
  return texts.map((text) => {
    const match = regex.search(text);
    expect(regex.test(text)).toBe(match !== null);
    return match === null ? null : match.matched;
  });
}

function refusal(source: string): string {
  const compiled = compileExpressionRegex(source, false);
  return compiled.ok ? 'accepted' : compiled.reason;
}

describe('a regex of Rust', () => {
  it.each<readonly [string, readonly string[], readonly (string | null)[]]>([
    // Classes and their operations.
    ['[x[^xyz]]+', ['xab', 'y'], ['xab', null]],
    ['[a-y&&xyz]+', ['axyz'], ['xy']],
    ['[0-9&&[^4]]+', ['3456'], ['3']],
    ['[0-9--4]+', ['3456'], ['3']],
    ['[a-g~~b-h]+', ['bah'], ['ah']],
    ['[a-z&&[^aeiou]--[x-z]]+', ['aebcxz'], ['bc']],
    [String.raw`[\[\]]+`, ['a[]'], ['[]']],
    ['[]a]+', ['b]a'], [']a']],
    ['[^]a]+', [']b'], ['b']],
    ['[-a]+', ['b-a'], ['-a']],
    ['[--a]+', ['b-a'], ['-a']],
    ['[a-]+', ['b-a'], ['-a']],
    ['[&a]+', ['&a'], ['&a']],
    [String.raw`[\d&&[^٣]]+`, ['٣7'], ['7']],
    [String.raw`[\w--\d]+`, ['1é2'], ['é']],
    [String.raw`[^\W\d]+`, ['1é2'], ['é']],
    ['[[:alpha:][:digit:]]+', ['-a1é'], ['a1']],
    ['[[:^alpha:]]+', ['a1'], ['1']],
    ['[[:word:]]+', ['-a_1'], ['a_1']],
    ['[:alpha:]+', ['xalph:'], ['alph:']],
    // Properties.
    [String.raw`\p{Greek}+`, ['aβγ'], ['βγ']],
    [String.raw`\p{sc=Greek}\p{script:greek}`, ['βγ'], ['βγ']],
    [String.raw`\p{gc!=Lu}`, ['Aa'], ['a']],
    [String.raw`\pN+`, ['a1Ⅷ'], ['1Ⅷ']],
    [String.raw`\PN`, ['1a'], ['a']],
    [String.raw`\p{lowercase_letter}\p{Lowercase Letter}\p{isLl}`, ['Aabc'], ['abc']],
    [String.raw`\p{any}\p{ASCII}\p{Emoji}`, ['éa😀'], ['éa😀']],
    // Escapes.
    [String.raw`\x41\x{42}\u0043\u{44}\U00000045\U{46}`, ['ABCDEF'], ['ABCDEF']],
    [String.raw`\a\f\t\n\r\v`, ['\x07\x0c\t\n\r\x0b'], ['\x07\x0c\t\n\r\x0b']],
    [String.raw`\#\-\&\~\ \/\%\"\'\,\:\;\=\@\_\!`, ['#-&~ /%"\',:;=@_!'], ['#-&~ /%"\',:;=@_!']],
    ['}]', ['a}]'], ['}]']],
    // Flags.
    ['(?i)a(?-i)b', ['Ab', 'AB'], ['Ab', null]],
    ['(?i:a)b', ['Ab', 'AB'], ['Ab', null]],
    ['a(?i)b|c', ['aB', 'C'], ['aB', 'C']],
    ['(a(?i)b)c', ['aBc', 'aBC'], ['aBc', null]],
    ['(?m)^a$', ['b\na\nc', 'b\r\na\r\n'], ['a', null]],
    ['(?mR)^a$', ['b\na\nc', 'b\r\na\r\n', 'a\rb'], ['a', 'a', 'a']],
    ['^a$', ['a\n', 'a'], [null, 'a']],
    ['(?s)a.b', ['a\nb'], ['a\nb']],
    ['a.b', ['a\nb', 'a\rb', 'a😀b'], [null, 'a\rb', 'a😀b']],
    ['(?R)a.b', ['a\rb'], [null]],
    ['(?U)a+', ['aaa'], ['a']],
    ['(?U)a+?', ['aaa'], ['aaa']],
    ['(?x) a  b # both\n [ c d ]', ['abd'], ['abd']],
    ['(?x: a b ) c', ['ab c'], ['ab c']],
    [String.raw`(?x)\ a\#`, [' a#'], [' a#']],
    [String.raw`(?-u:\w)+`, ['éa_1'], ['a_1']],
    [String.raw`(?-u:\d)(?i-u:k)`, ['1K', '1\u212a'], ['1K', null]],
    ['(?i)k', ['\u212a'], ['\u212a']],
    // Repetitions.
    ['a{2}', ['aaa'], ['aa']],
    ['a{2,}', ['aaa'], ['aaa']],
    ['a{1,2}', ['aaa'], ['aa']],
    ['a{ 1 , 2 }', ['aaa'], ['aa']],
    ['a{2,3}?', ['aaa'], ['aa']],
    ['a??', ['a'], ['']],
    ['a*?b', ['aab'], ['aab']],
    ['a**', ['aa'], ['aa']],
    ['a+*', ['aa'], ['aa']],
    ['(?:a{2}){2}', ['aaaaa'], ['aaaa']],
    ['^*a', ['a'], ['a']],
    ['(?:a|b)*?c', ['abc'], ['abc']],
    ['a|', ['b'], ['']],
    ['()', ['b'], ['']],
    ['(?:(?i))+a', ['A', 'a'], [null, 'a']],
    ['', ['b'], ['']],
    // Looks.
    [String.raw`\Aa\z`, ['a', 'a\n', 'ba'], ['a', null, null]],
    [String.raw`\ba\b`, ['a', 'éa', '-a-'], ['a', null, 'a']],
    [String.raw`\Ba`, ['a', 'éa'], [null, 'a']],
    [String.raw`(?-u:\b)a`, ['éa', 'ba'], ['a', null]],
    [String.raw`\<a\>`, ['ba a'], ['a']],
    [String.raw`\b{start}a\b{end}`, ['ba a'], ['a']],
    [String.raw`(a+)+\b`, ['aaé aa'], ['aa']],
    [String.raw`(?:\ba|b)*\>`, ['ab b'], ['ab']],
    ['(?mR)(a+)+$', ['ab\raa\r\n'], ['aa']],
    [String.raw`\b{start-half}a\b{end-half}`, ['ba -a-'], ['a']],
  ])('%s', (source, texts, expected) => {
    expect(found(source, texts)).toEqual(expected);
  });

  it.each([
    ['a{,3}', 'a repetition is'],
    ['a{3,2}', 'ends below its beginning'],
    ['a{1001}', 'counts beyond 1000'],
    ['a{2', 'a repetition is'],
    ['{2}', 'repeats nothing'],
    ['|*', 'repeats nothing'],
    ['(?i)*', 'repeats nothing'],
    ['(*a)', 'repeats nothing'],
    ['(?ii)', 'given twice'],
    ['(?i-i)', 'given twice'],
    ['(?i--s)', 'negated twice'],
    ['(?i-)', 'negates no flag'],
    ['(?z)', 'unsupported group (?z'],
    ['(?i', 'unsupported group'],
    ['(?P<n>a)(?<n>b)', 'two groups called n'],
    ['(?<1a>a)', 'a group has a name'],
    ['(?<>a)', 'a group has a name'],
    ['(?P>n)', 'unsupported group'],
    ["(?'n'a)", 'unsupported group'],
    ['[b-a]', 'ends before it begins'],
    [String.raw`[a-\d]`, 'cannot begin or end a range'],
    [String.raw`[\b]`, 'no character of a class'],
    ['[a', 'has no ]'],
    ['[]', 'has no ]'],
    ['[[a]', 'has no ]'],
    ['[a&&', 'has no ]'],
    [String.raw`\1`, 'back-references'],
    [String.raw`\8`, 'back-references'],
    [String.raw`\y`, String.raw`\y is not supported`],
    [String.raw`\é`, String.raw`\é is not supported`],
    [String.raw`\Z`, String.raw`\Z is not supported`],
    [String.raw`\G`, String.raw`\G is not supported`],
    [String.raw`\x4`, 'no code point'],
    [String.raw`\x{}`, 'no code point'],
    [String.raw`\u{d800}`, 'no code point'],
    [String.raw`\u{110000}`, 'no code point'],
    [String.raw`\p{Nope}`, 'is not known'],
    [String.raw`\p{Age=6.0}`, 'is not known'],
    [String.raw`\b{begin}`, 'after \\b comes'],
    ['(?-u).', 'takes bytes'],
    ['(?-u)[^a]', 'takes bytes'],
    [String.raw`(?-u)\W`, 'takes bytes'],
    [String.raw`(?-u)\xff`, 'is a byte'],
    [String.raw`(?-u)\pL`, 'needs flag u'],
    ['(?-u)[é]', 'takes bytes'],
    [`${'(?:'.repeat(251)}${')'.repeat(251)}`, 'deeper than 250'],
    ['a'.concat('*'.repeat(300)), 'deeper than 250'],
    ['['.repeat(200), 'deeper than 100'],
    ['(?:a{500}){500}', 'multiply beyond 1000'],
    [String.raw`[\wé]`.repeat(60), 'more than 40000 ranges'],
    ['()'.repeat(201), 'more than 200 groups'],
  ])('cannot be %s', (source, reason) => {
    expect(refusal(source)).toContain(reason);
  });

  it('cannot be half a character', () => {
    expect(refusal('\ud800')).toContain('not well-formed');
  });

  it('tells what every match begins with', () => {
    const prefix = (source: string) => {
      const compiled = compileExpressionRegex(source, false);
      return compiled.ok ? compiled.regex.prefix : 'refused';
    };
    expect(prefix('^/api/v[12]')).toBe('/api/v');
    expect(prefix('/api')).toBe('');
    expect(prefix(String.raw`^/a\.b/(?<id>c)d+`)).toBe('/a.b/cd');
    expect(prefix('^/ab*')).toBe('/a');
    expect(prefix('^(?:/abc|/abd)x')).toBe('/ab');
    expect(prefix('^/abc|^/abd')).toBe('/ab');
    expect(prefix('^/abc|/abd')).toBe('');
    expect(prefix('(?i)^/api')).toBe('/');
    expect(prefix('(?m)^/api')).toBe('');
    expect(prefix('^/a{2}b')).toBe('/a');
    expect(prefix('^(?:/x)?y')).toBe('');
    expect(prefix('^/(?:😀|😁)')).toBe('/');
  });
});

describe('a regex of a plugin', () => {
  it.each<readonly [string, readonly string[], readonly boolean[]]>([
    // pcre2pattern(3), without UTF mode.
    [String.raw`^\d\w\s$`, ['1a ', '٣a '], [true, false]],
    [String.raw`[\w-z]+$`, ['-'], [true]],
    ['[a[]', ['[', 'b'], [true, false]],
    ['[a&&b]', ['&', 'c'], [true, false]],
    ['[]a]', [']'], [true]],
    [String.raw`[\]]`, [']'], [true]],
    [String.raw`[\b]`, ['\b', 'b'], [true, false]],
    ['[[:alpha:]-z]', ['-', 'q', '1'], [true, true, false]],
    ['/{id}/x{,2}', ['/{id}/x{,2}'], [true]],
    ['a{2}b', ['aab', 'a{2}b'], [true, false]],
    [String.raw`\Qa.b\E+$`, ['a.bb', 'axb'], [true, false]],
    [String.raw`\x2f\/\e\0\012`, ['//\x1b\0\n'], [true]],
    [String.raw`^\h\H\v\V\N$`, ['\ta\nb.'], [true]],
    ["(?'n'a)(?<m>b)(?P<o>c)", ['abc'], [true]],
    ['a(?#comment)b', ['ab'], [true]],
    ['(?i)k', ['K', '\u212a'], [true, false]],
    [String.raw`\p{^Lu}`, ['a', 'A'], [true, false]],
    [String.raw`\bbot\b`, ['a bot', 'robot'], [true, false]],
    ['(?im-s)^a.b$', ['x\nA1B'], [true]],
  ])('%s', (source, texts, expected) => {
    const compiled = compileSearchRegex(source);
    if (!compiled.ok) throw new Error(compiled.reason);
    expect(texts.map((text) => compiled.regex.test(text))).toEqual(expected);
  });

  it.each([
    [String.raw`(a)\g1`, 'back-references'],
    [String.raw`(?<n>a)\k<n>`, 'back-references'],
    ['a*+', 'possessive'],
    ['(?>a)', 'unsupported group (?>'],
    ['(?|a|b)', 'unsupported group (?|'],
    ['(?(1)a)', 'unsupported group (?('],
    ['(?R)', 'unsupported group (?R'],
    [String.raw`a\K`, String.raw`\K is not supported`],
    [String.raw`\R`, String.raw`\R is not supported`],
    ['[[:nope:]]', 'POSIX class is not known'],
    ['(?<!a)b', 'look-around'],
  ])('cannot be %s', (source, reason) => {
    const compiled = compileSearchRegex(source);
    expect(compiled.ok ? 'accepted' : compiled.reason).toContain(reason);
  });
});
