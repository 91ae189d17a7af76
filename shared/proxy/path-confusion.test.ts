import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { request } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { spellings, STYLES } from '../../test/support/path-spellings.ts';

describe('a protected path', () => {
  it.each([
    ['/admin', { paths: ['/admin'] }],
    ['/api/admin', { paths: ['/api/admin'] }],
    ['/admin', { paths: ['~/admin(?:/|$)'] }],
    ['/admin', { paths: ['/admin'], hosts: ['*.test'] }],
    [
      '/admin',
      { paths: null, priority: 0, expression: 'http.path == "/admin" || http.path ^= "/admin/"' },
    ],
  ])('%s, guarded by %j, is not reached by any spelling', async (prefix, matcher) => {
    const config = new TestConfig();
    const service = { id: config.service().id };
    config.route({ paths: ['/'], service });
    const guarded = config.route({ paths: ['/to-be-put'], service, strip_path: false });
    // As it is stored: which fields go together depends on the flavor.
    config.put('routes', { ...guarded, ...matcher });
    const { id } = guarded;
    config.plugin('key-auth', {}, { route: { id } });
    const gateway = new TestGateway(config.tables());
    const reached = new RegExp(`^/*${prefix}(/|$)`);
    const targets = new Set(spellings());
    const found: string[] = [];
    let passedCount = 0;

    for (const target of targets) {
      // In order, as the last request sent is looked at.
      if ((await gateway.send(request(target))).status !== 200) continue;
      passedCount += 1;
      const forwarded = gateway.upstream.target.split('?', 1)[0] ?? '';
      for (const [style, read] of Object.entries(STYLES)) {
        if (reached.test(read(forwarded))) found.push(`${target} sent as ${forwarded}: ${style}`);
      }
    }

    expect(targets.size).toBeGreaterThan(5000);
    expect(passedCount).toBeGreaterThan(500);
    expect(found).toEqual([]);
  });
});

describe('a protected host', () => {
  it.each([
    { hosts: ['*.a.test'] },
    { hosts: ['xx*'] },
    { hosts: null, paths: null, priority: 2, expression: 'http.host =^ ".a.test"' },
  ])('guarded by %j is not reached by a name longer than any', async (matcher) => {
    const config = new TestConfig();
    const service = { id: config.service().id };
    config.route({ paths: ['/'], service, preserve_host: true });
    const guarded = config.route({ paths: ['/'], hosts: ['to-be.put'], service });
    config.put('routes', { ...guarded, ...matcher });
    config.plugin('key-auth', {}, { route: { id: guarded.id } });
    const gateway = new TestGateway(config.tables());
    const statuses: number[] = [];
    for (const length of [100, 255, 256, 300, 5000]) {
      const host = `${'x'.repeat(length - '.a.test'.length)}.a.test`;
      const answer = await gateway.send(request('/', { headers: { Host: host } }));
      statuses.push(answer.status);
    }

    // An expression is closed in this flavor.
    const guard = 'expression' in matcher ? 503 : 401;
    expect(statuses).toEqual([guard, guard, 400, 400, 400]);
    expect(gateway.platform.sent).toEqual([]);
  });
});

describe('an odd path that nobody takes for another route’s', () => {
  it.each(['/@scope%2Fname', '/a;v=1/b', '/a%252Fb', '/a%3Bb', '/x%5Cy', '/api%2Fother'])(
    'passes as it is: %s',
    async (target) => {
      const config = new TestConfig();
      config.route({ paths: ['/'] });
      config.route({ paths: ['/api/admin'] });
      const gateway = new TestGateway(config.tables());

      expect((await gateway.get(target)).status).toBe(200);
      expect(gateway.upstream.target).toBe(target);
    },
  );

  it('passes when no other route would take it at all', async () => {
    const config = new TestConfig();
    config.route({ paths: ['~/projects/[^/]+$'], strip_path: false });
    const gateway = new TestGateway(config.tables());

    expect((await gateway.get('/projects/group%2Fname')).status).toBe(200);
  });

  it('passes when the operator takes odd targets', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/'] });
    config.route({ paths: ['/admin'] });
    const gateway = new TestGateway(config.tables(), { allowOddTargets: true });

    expect((await gateway.get('/%2Fadmin')).status).toBe(200);
  });
});
