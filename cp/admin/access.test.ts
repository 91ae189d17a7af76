import { describe, expect, it } from 'vitest';
import { AccessGuard, type AccessPolicy } from './access.ts';
import { AdminError } from './errors.ts';

const TOKEN = 'a-token-of-some-length';

function verdict(
  headers: Record<string, string>,
  policy: Partial<AccessPolicy> = {},
  peer = '127.0.0.1',
): number | string {
  const guard = new AccessGuard({ token: null, hosts: [], origins: [], ...policy });
  try {
    return guard.check(new Request('http://x/services', { headers }), peer);
  } catch (error) {
    return error instanceof AdminError ? error.status : String(error);
  }
}

describe('without a token the Admin API', () => {
  it.each(['127.0.0.1:8001', 'localhost:8001', '[::1]:8001', 'localhost'])(
    'answers this machine as %s',
    (host) => expect(verdict({ host })).toBe('local'),
  );

  it('refuses every other peer', () => {
    expect(verdict({ host: '127.0.0.1:8001' }, {}, '10.0.0.7')).toBe(403);
  });

  it('refuses a name that only DNS rebinding can have brought here', () => {
    for (const host of [
      'evil.test',
      'evil.test:8001',
      '127.0.0.1.evil.test',
      'localhost.evil.test',
    ]) {
      expect(verdict({ host }), host).toBe(403);
    }
    expect(verdict({ host: 'gateway.test' }, { hosts: ['gateway.test'] })).toBe('local');
  });

  it('refuses a page of another origin, also when it hides it', () => {
    const host = '127.0.0.1:8001';
    expect(verdict({ host, origin: 'https://evil.test' })).toBe(403);
    expect(verdict({ host, origin: 'null' })).toBe(403);
    expect(verdict({ host, origin: 'http://127.0.0.1:9999' })).toBe(403);
    expect(verdict({ host, 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(verdict({ host, 'sec-fetch-site': 'same-site' })).toBe(403);
  });

  it('serves its own pages, and those that a setting names', () => {
    const host = '127.0.0.1:8001';
    expect(verdict({ host, origin: 'http://127.0.0.1:8001' })).toBe('local');
    expect(verdict({ host, 'sec-fetch-site': 'same-origin' })).toBe('local');
    const origins = ['http://localhost:8002'];
    expect(
      verdict(
        { host, origin: 'http://localhost:8002', 'sec-fetch-site': 'same-site' },
        { origins },
      ),
    ).toBe('local');
  });
});

describe('with a token the Admin API', () => {
  const policy = { token: TOKEN };

  it('wants it from everybody, this machine included', () => {
    expect(verdict({ host: '127.0.0.1' }, policy)).toBe(401);
    expect(verdict({ host: 'x', 'kong-admin-token': 'wrong' }, policy, '10.0.0.7')).toBe(401);
    expect(verdict({ host: 'x', authorization: `Basic ${TOKEN}` }, policy)).toBe(401);
  });

  it('takes it in either header, under whatever name it is reached', () => {
    expect(verdict({ host: 'x', 'kong-admin-token': TOKEN }, policy, '10.0.0.7')).toBe('admin');
    expect(verdict({ host: 'x', authorization: `Bearer ${TOKEN}` }, policy, '10.0.0.7')).toBe(
      'admin',
    );
  });

  it('still refuses pages of foreign origins', () => {
    expect(
      verdict({ host: 'x', origin: 'https://evil.test', 'kong-admin-token': TOKEN }, policy),
    ).toBe(403);
  });
});
