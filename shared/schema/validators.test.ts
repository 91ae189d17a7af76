import { describe, expect, it } from 'vitest';
import {
  cookieNameError,
  headerNameError,
  hostError,
  ipOrCidrError,
  pathError,
  routeHostError,
  routePathError,
  sniError,
  tagError,
  urlError,
  utf8NameError,
  wildcardHostError,
} from './validators.ts';

function expectErrors(
  check: (text: string) => string | null,
  cases: Record<string, string | null>,
) {
  const found = Object.fromEntries(Object.keys(cases).map((text) => [text, check(text)]));
  expect(found).toEqual(cases);
}

function badRange(text: string): string {
  return `invalid ip or cidr range: '${text}'`;
}

function consider(normal: string): string {
  return `non-normalized path, consider use '${normal}' instead`;
}

describe('validators', () => {
  it('take names in any script, and of ASCII what a URL takes', () => {
    const only = 'the only accepted ascii characters are alphanumerics or ., -, _, and ~';
    expectErrors(utf8NameError, {
      'a.b-c_d~9': null,
      größe名: null,
      'a b': `invalid value 'a b': ${only}`,
      'a/b': `invalid value 'a/b': ${only}`,
    });
  });

  it('take tags that are printable and free of the filter characters', () => {
    const expected = 'expected printable ascii (except `,` and `/`) or valid utf-8 sequences';
    expectErrors(tagError, {
      'a b:c': null,
      '~é': null,
      'a,b': `invalid tag 'a,b': ${expected}`,
      'a/b': `invalid tag 'a/b': ${expected}`,
      'a\tb': `invalid tag 'a\tb': ${expected}`,
    });
  });

  it('take hosts without a port', () => {
    expectErrors(hostError, {
      'a.b': null,
      '1.2.3.4': null,
      '::1': null,
      'a:80': 'must not have a port',
      'a:99999': 'must not have a port',
      'a b': 'invalid value: a b',
    });
  });

  it('take server names that are names', () => {
    expectErrors(sniError, {
      'a.b': null,
      '1.2.3.4': 'must not be an IP',
      'a:1': 'must not have a port',
      'a_/': 'invalid value: a_/',
    });
    expectErrors(wildcardHostError, {
      '*.a.b': null,
      'a.*': null,
      'a.*.b': 'wildcard must be leftmost or rightmost character',
      '*.a.*': 'only one wildcard must be specified',
      '*:80': 'must not have a port',
    });
    expectErrors(routeHostError, { '*.a:80': null, 'a b': 'invalid hostname: a b' });
  });

  it('take addresses and blocks', () => {
    expectErrors(ipOrCidrError, {
      '10.0.0.1': null,
      '10.0.0.0/8': null,
      '::1/128': null,
      '10.0.0.0/33': badRange('10.0.0.0/33'),
      '10.0.0.0/08': badRange('10.0.0.0/08'),
      '10.0.0.1:80': badRange('10.0.0.1:80'),
      'a/8': badRange('a/8'),
      '1.2.3.4/8/8': badRange('1.2.3.4/8/8'),
    });
  });

  it('take names of headers and cookies', () => {
    expect(headerNameError('X-A_1')).toBeNull();
    expect(headerNameError('a b')).toBe(
      "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
    );
    expect(cookieNameError('a.b!')).toBeNull();
    expect(cookieNameError('a=b')).toContain('contains one or more invalid characters.');
  });

  it('take paths of RFC 3986 with proper escapes', () => {
    expectErrors(pathError, {
      '/a/%41;b=c': null,
      '/a b': "invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)",
      '/%4': "invalid url-encoded value: '%4'",
      '/%zz1': "invalid url-encoded value: '%zz'",
    });
  });

  it('take prefixes in normal form only, and name it', () => {
    expectErrors(routePathError, {
      '/': null,
      '/a/': null,
      '/a%2Fb': null,
      '/größe': null,
      '/a b': null,
      '/%41': consider('/A'),
      '/a%2fb': consider('/a%2Fb'),
      '/caf%C3%A9': consider('/café'),
      '/a/../b': consider('/b'),
      '/a/.': consider('/a/'),
      '/a/..': consider('/'),
      '/%2e%2e/a': consider('/a'),
      '/%zz': "invalid url-encoded value: '%zz'",
    });
  });

  it('take URLs with scheme and host, whatever follows', () => {
    expectErrors(urlError, {
      'http://a.test': null,
      'ftp://u:p@[::1]:x/ /?q#f': null,
      'a.test': 'missing host in url',
      'http:///a': 'missing host in url',
      'http://:80': 'missing host in url',
      '//a.test/': 'missing scheme in url',
      '': 'missing host in url',
    });
  });

  it('take regexes that compile', () => {
    expect(routePathError('~/a/(?<id>\\d+)$')).toBeNull();
    expect(routePathError('~/a(')).toMatch(/^invalid regex: '\/a\(' \(/);
    expect(routePathError('~/(?=a)')).toMatch(/^invalid regex: /);
  });
});
