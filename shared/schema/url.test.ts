import { describe, expect, it } from 'vitest';
import { parseUrl } from './url.ts';

describe('a URL', () => {
  it('is taken apart without being judged', () => {
    expect(parseUrl('https://u:p@a.test:8443/x;y?q#f')).toEqual({
      scheme: 'https',
      userinfo: 'u:p',
      host: 'a.test',
      port: '8443',
      path: '/x',
    });
    expect(parseUrl('http://[::1]:x')).toEqual({
      scheme: 'http',
      userinfo: null,
      host: '::1',
      port: 'x',
      path: '',
    });
  });

  it('has null for what is missing', () => {
    const nothing = { scheme: null, userinfo: null, host: null, port: null };

    expect(parseUrl('')).toEqual({ ...nothing, path: '' });
    expect(parseUrl('a/b')).toEqual({ ...nothing, path: 'a/b' });
    expect(parseUrl('//@')).toEqual({ ...nothing, userinfo: '', path: '' });
  });
});
