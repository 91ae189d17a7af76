import { describe, expect, it } from 'vitest';
import type { VerifiedToken } from '../access/admin-tokens.ts';
import { ALL_SCOPES, NO_SCOPES, type Scopes } from '../access/scopes.ts';
import {
  AccessGuard,
  type AccessPolicy,
  type Area,
  authorize,
  authorizeWorkspace,
  type Principal,
} from './access.ts';
import { AdminError } from './errors.ts';

const TOKEN = 'a-token-of-some-length';
const NAMED = `hga_0123456789abcdef_${'A'.repeat(43)}`;

const tokens = {
  verify: async (text: string): Promise<VerifiedToken | null> =>
    text === NAMED ? { id: '0123456789abcdef', name: 'ci', scopes: ALL_SCOPES } : null,
};

async function verdict(
  headers: Record<string, string>,
  policy: Partial<AccessPolicy> = {},
  peer = '127.0.0.1',
  method = 'GET',
): Promise<number | string> {
  const all = { token: null, isLoopbackOpen: true, hosts: [], origins: [], ...policy };
  try {
    const request = new Request('http://x/services', { headers, method });
    return (await new AccessGuard(all, tokens).authenticate(request, peer)).name;
  } catch (error) {
    return error instanceof AdminError ? error.status : String(error);
  }
}

describe('without a token the Admin API', () => {
  it.each(['127.0.0.1:8001', 'localhost:8001', '[::1]:8001', 'localhost'])(
    'answers this machine as %s',
    async (host) => expect(await verdict({ host })).toBe('local'),
  );

  it('wants one from every other peer', async () => {
    expect(await verdict({ host: '127.0.0.1:8001' }, {}, '10.0.0.7')).toBe(401);
  });

  it('wants one from whoever a proxy on this machine forwards', async () => {
    const host = '127.0.0.1:8001';
    expect(await verdict({ host, 'x-forwarded-for': '10.0.0.7' })).toBe(401);
    expect(await verdict({ host, forwarded: 'for=10.0.0.7' })).toBe(401);
    // Not every proxy says for whom it asks, but most say something.
    for (const name of ['via', 'x-real-ip', 'x-forwarded-host', 'x-forwarded-proto']) {
      expect(await verdict({ host, [name]: 'something' })).toBe(401);
    }
  });

  it('wants one from everybody where a setting closes it', async () => {
    expect(await verdict({ host: '127.0.0.1:8001' }, { isLoopbackOpen: false })).toBe(401);
  });

  it('takes a named one, from anywhere, and refuses one that is not valid', async () => {
    const host = '127.0.0.1:8001';
    expect(await verdict({ host, 'kong-admin-token': NAMED })).toBe('ci');
    expect(await verdict({ host: 'x', 'kong-admin-token': NAMED }, {}, '10.0.0.7')).toBe('ci');
    const gone = NAMED.replace('0123', '3210');
    expect(await verdict({ host, 'kong-admin-token': gone })).toBe(401);
    // As Kong does with a token that it never asked for.
    expect(await verdict({ host, 'kong-admin-token': 'something' })).toBe('local');
  });

  it('refuses a name that only DNS rebinding can have brought here', async () => {
    for (const host of [
      'evil.test',
      'evil.test:8001',
      '127.0.0.1.evil.test',
      'localhost.evil.test',
    ]) {
      expect(await verdict({ host }), host).toBe(403);
    }
    expect(await verdict({ host: 'gateway.test' }, { hosts: ['gateway.test'] })).toBe('local');
  });

  it('refuses a page of another origin, also when it hides it', async () => {
    const host = '127.0.0.1:8001';
    expect(await verdict({ host, origin: 'https://evil.test' })).toBe(403);
    expect(await verdict({ host, origin: 'null' })).toBe(403);
    expect(await verdict({ host, origin: 'http://127.0.0.1:9999' })).toBe(403);
    expect(await verdict({ host, 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await verdict({ host, 'sec-fetch-site': 'same-site' })).toBe(403);
  });

  it('serves its own pages, and those that a setting names', async () => {
    const host = '127.0.0.1:8001';
    expect(await verdict({ host, origin: 'http://127.0.0.1:8001' })).toBe('local');
    expect(await verdict({ host, 'sec-fetch-site': 'same-origin' })).toBe('local');
    const origins = ['http://localhost:8002'];
    expect(
      await verdict(
        { host, origin: 'http://localhost:8002', 'sec-fetch-site': 'same-site' },
        { origins },
      ),
    ).toBe('local');
  });
});

describe('with a token the Admin API', () => {
  const policy = { token: TOKEN };

  it('wants it from everybody, this machine included', async () => {
    expect(await verdict({ host: '127.0.0.1' }, policy)).toBe(401);
    expect(await verdict({ host: 'x', 'kong-admin-token': 'wrong' }, policy, '10.0.0.7')).toBe(401);
    expect(await verdict({ host: 'x', authorization: `Basic ${TOKEN}` }, policy)).toBe(401);
  });

  it('takes it in either header, under whatever name it is reached', async () => {
    expect(await verdict({ host: 'x', 'kong-admin-token': TOKEN }, policy, '10.0.0.7')).toBe(
      'bootstrap',
    );
    expect(await verdict({ host: 'x', authorization: `Bearer ${TOKEN}` }, policy, '10.0.0.7')).toBe(
      'bootstrap',
    );
  });

  it('still refuses pages of foreign origins', async () => {
    expect(
      await verdict({ host: 'x', origin: 'https://evil.test', 'kong-admin-token': TOKEN }, policy),
    ).toBe(403);
  });
});

describe('a browser’s question before a request', () => {
  it('needs no token, and is let in for nothing', async () => {
    const headers = {
      host: '127.0.0.1:8001',
      origin: 'http://127.0.0.1:8001',
      'access-control-request-method': 'PUT',
    };
    const policy = { token: TOKEN };
    expect(await verdict(headers, policy, '127.0.0.1', 'OPTIONS')).toBe('preflight');
    expect(await verdict(headers, policy, '127.0.0.1', 'PUT')).toBe(401);
    const foreign = { ...headers, origin: 'https://evil.test' };
    expect(await verdict(foreign, policy, '127.0.0.1', 'OPTIONS')).toBe(403);
  });
});

const holder = (scopes: Partial<Scopes>): Principal => ({
  name: 'ci',
  kind: 'token',
  tokenId: 'x',
  scopes: { ...NO_SCOPES, ...scopes },
});
const reader = holder({ workspaces: [{ workspace: 'team-a', access: 'read' }] });
const writer = holder({ workspaces: [{ workspace: 'team-a', access: 'write' }] });
const everywhere = holder({ workspaces: [{ workspace: '*', access: 'write' }] });
const operator = holder({ cluster: 'write' });
const auditor = holder({ admin: 'read' });

/** Null: it may; else what is missing. */
function missing(
  principal: Principal,
  area: Area,
  method = 'GET',
  workspace = 'team-a',
  params: string[] = [],
): unknown {
  try {
    authorize(principal, { area, workspace, method, params });
    return null;
  } catch (error) {
    if (!(error instanceof AdminError)) return error;
    expect(error.status).toBe(403);
    return error.body?.['message'];
  }
}

describe('a token', () => {
  it('reads and writes entities where its scopes say so, and nowhere else', () => {
    expect(missing(reader, 'entities')).toBe(null);
    expect(missing(reader, 'entities', 'HEAD')).toBe(null);
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
      expect(missing(reader, 'entities', method)).toBe(
        "'ci' lacks the scope: write on workspace 'team-a'",
      );
      expect(missing(writer, 'entities', method)).toBe(null);
    }
    expect(missing(writer, 'entities', 'GET', 'team-b')).toBe(
      "'ci' lacks the scope: read on workspace 'team-b'",
    );
    expect(missing(everywhere, 'entities', 'DELETE', 'team-b')).toBe(null);
    expect(missing(operator, 'entities')).toMatch(/read on workspace/);
  });

  it('for entities is none for the cluster, and the other way round', () => {
    expect(missing(everywhere, 'cluster')).toBe("'ci' lacks the scope: read on cluster");
    expect(missing(everywhere, 'admin', 'POST')).toBe("'ci' lacks the scope: write on admin");
    expect(missing(operator, 'cluster', 'POST')).toBe(null);
    expect(missing(operator, 'admin')).toMatch(/read on admin/);
    expect(missing(auditor, 'admin')).toBe(null);
    expect(missing(auditor, 'admin', 'POST')).toMatch(/write on admin/);
  });

  it('of whatever scope sees what the software is', () => {
    expect(missing(auditor, 'info', 'POST')).toBe(null);
  });

  it('sees the workspaces that it may read, and changes none unless it may write them all', () => {
    expect(missing(reader, 'workspaces', 'GET', 'default', ['team-a'])).toBe(null);
    expect(missing(reader, 'workspaces', 'GET', 'default', ['team-b'])).toMatch(/'team-b'/);
    expect(missing(reader, 'workspaces', 'GET', 'team-a', [])).toMatch(/read on workspace '\*'/);
    expect(missing(writer, 'workspaces', 'PATCH', 'team-a', ['team-a'])).toMatch(
      /write on workspace '\*'/,
    );
    expect(missing(everywhere, 'workspaces', 'PATCH', 'default', ['team-a'])).toBe(null);
  });

  it('is told the same of a workspace that it may not enter, whether or not it is there', () => {
    expect(() => authorizeWorkspace(reader, 'team-a')).not.toThrow();
    expect(() => authorizeWorkspace(reader, 'nowhere')).toThrow(/read on workspace 'nowhere'/);
  });
});
