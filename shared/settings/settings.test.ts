import { describe, expect, it } from 'vitest';
import { CONTROL_PLANE_SETTINGS } from './control-plane.ts';
import { DATA_PLANE_SETTINGS } from './data-plane.ts';
import { isLoopback, parseListen, streamListenError } from './listen.ts';
import { ALL_SETTING_NAMES } from './names.ts';
import { parseSettings, problemText } from './settings.ts';

function parse(env: Record<string, string>, files: Record<string, string> = {}) {
  const readFile = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  };
  return parseSettings(CONTROL_PLANE_SETTINGS, { env, readFile }, ALL_SETTING_NAMES);
}

function problems(env: Record<string, string>, files: Record<string, string> = {}): string[] {
  const result = parse(env, files);
  return result.ok ? [] : result.problems.map(problemText);
}

describe('settings', () => {
  it('have defaults that keep everything on loopback', () => {
    const result = parse({});
    if (!result.ok) throw new Error('defaults must be valid');
    expect(result.value.HEADGATE_ADMIN_LISTEN).toEqual(['127.0.0.1:8001', '127.0.0.1:8444 ssl']);
    expect(result.value.HEADGATE_CLUSTER_LISTEN).toEqual(['127.0.0.1:8005']);
    expect(result.value.HEADGATE_DATABASE_URL).toBeNull();
    const node = parseSettings(DATA_PLANE_SETTINGS, { env: {}, readFile: () => '' });
    if (!node.ok) throw new Error('defaults must be valid');
    for (const address of [
      ...node.value.HEADGATE_PROXY_LISTEN,
      ...node.value.HEADGATE_STATUS_LISTEN,
    ]) {
      expect(isLoopback(parseListen(address)?.host ?? '')).toBe(true);
    }
  });

  it.each([
    [{ HEADGATE_LOG_LEVEL: 'loud' }, /HEADGATE_LOG_LEVEL is "loud".*debug, info, warn, error/],
    [{ HEADGATE_ADMIN_LISTEN: '8001' }, /HEADGATE_ADMIN_LISTEN is "8001".*127\.0\.0\.1:8001/],
    [{ HEADGATE_ADMIN_LISTEN: '127.0.0.1:99999' }, /HEADGATE_ADMIN_LISTEN/],
    [
      { HEADGATE_ADMIN_BODY_MAX: '1e6' },
      /HEADGATE_ADMIN_BODY_MAX is "1e6".*whole number from 1024/,
    ],
    [{ HEADGATE_ADMIN_BODY_MAX: '12' }, /from 1024 to 134217728/],
    [{ HEADGATE_POLL_SECONDS: 'often' }, /HEADGATE_POLL_SECONDS is "often".*a number/],
    [{ HEADGATE_TRUSTED_TERMINATOR: '10.0.0.0/8, nginx' }, /TRUSTED_TERMINATOR.*CIDR/],
    [
      { HEADGATE_ADMIN_LISTN: 'x' },
      /HEADGATE_ADMIN_LISTN: no such setting; did you mean HEADGATE_ADMIN_LISTEN\?/,
    ],
    [{ HEADGATE_LOG_LEVEL_FILE: 'x' }, /HEADGATE_LOG_LEVEL is no secret/],
  ] as const)('name the setting, the value and what is allowed: %j', (env, text) => {
    expect(problems(env)).toEqual([expect.stringMatching(text)]);
  });

  it('never print a secret', () => {
    const lines = problems({ HEADGATE_ADMIN_TOKEN: 'short', HEADGATE_KEK: 'topsecret' });
    expect(lines).toHaveLength(2);
    expect(lines.join()).not.toMatch(/short|topsecret/);
  });

  it('take a secret from a file, and say when the file is not there', () => {
    const env = { HEADGATE_ADMIN_TOKEN_FILE: '/run/token' };
    const result = parse(env, { '/run/token': '0123456789abcdef\n' });
    expect(result.ok && result.value.HEADGATE_ADMIN_TOKEN).toBe('0123456789abcdef');
    expect(problems(env)).toEqual([
      expect.stringMatching(/HEADGATE_ADMIN_TOKEN_FILE is "\/run\/token".*ENOENT/),
    ]);
    expect(problems({ ...env, HEADGATE_ADMIN_TOKEN: '0123456789abcdef' })).toEqual([
      expect.stringMatching(/not both/),
    ]);
  });

  it('read an empty variable as not given', () => {
    const result = parse({ HEADGATE_LOG_LEVEL: '' });
    expect(result.ok && result.value.HEADGATE_LOG_LEVEL).toBe('info');
  });

  it.each([
    ['127.0.0.1:8001', { host: '127.0.0.1', port: 8001, tls: false }],
    ['0.0.0.0:8443 ssl', { host: '0.0.0.0', port: 8443, tls: true }],
    ['[::1]:0', { host: '::1', port: 0, tls: false }],
    ['a:1 http2', { host: 'a', port: 1, tls: false, http2: true }],
    [
      'a:1 http2 ssl reuseport backlog=16384',
      { host: 'a', port: 1, tls: true, http2: true, backlog: 16384 },
    ],
    ['a:1 ssl http2=off', { host: 'a', port: 1, tls: true, http2: false }],
    ['a:1 proxy_protocol bind', { host: 'a', port: 1, tls: false, proxyProtocol: true }],
    ['a:1 udp reuseport', { host: 'a', port: 1, tls: false, udp: true }],
    ['a:1 deferred ipv6only=on so_keepalive=30m::10', { host: 'a', port: 1, tls: false }],
    ['a:1 quic', null],
    ['a:1 http2=on', null],
    ['a:1 backlog=', null],
    ['a:65536', null],
  ])('read the address %s', (text, listen) => {
    expect(parseListen(text)).toEqual(listen);
  });

  it.each([
    ['127.0.0.1:9000', true],
    ['0.0.0.0:9443 ssl proxy_protocol', true],
    ['0.0.0.0:5353 udp reuseport', true],
    ['off', true],
    ['0.0.0.0:5353 udp ssl', false],
    ['0.0.0.0:5353 udp proxy_protocol', false],
    ['0.0.0.0:9000 http2', false],
    ['9000', false],
  ])('take %s for connections and datagrams: %s', (text, isTaken) => {
    expect(streamListenError(text) === null).toBe(isTaken);
  });

  it('count only this machine as loopback', () => {
    for (const host of ['127.0.0.1', '127.8.9.1', '::1', 'LOCALHOST', '::ffff:127.0.0.1']) {
      expect(isLoopback(host)).toBe(true);
    }
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.example', '127.0.0.1.example']) {
      expect(isLoopback(host)).toBe(false);
    }
  });
});
