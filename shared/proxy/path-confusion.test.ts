import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { request } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';

/** How upstreams turn the path of a request line into the path of a resource. */
const STYLES: Readonly<Record<string, (path: string) => string>> = {
  'RFC 3986': (path) => withoutDots(decoded(path, /%(2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/gi)),
  'one that merges slashes': (path) => withoutDots(merged(decoded(path))),
  'one that cuts parameters': (path) => withoutDots(merged(decoded(uncut(path)))),
  'one that decodes, then cuts parameters': (path) => withoutDots(merged(uncut(decoded(path)))),
  'one that decodes twice': (path) => {
    return withoutDots(merged(decoded(decoded(path)).replaceAll('\\', '/')));
  },
  WHATWG: (path) => decoded(new URL(`http://upstream${path}`).pathname),
};

function decoded(path: string, escapes = /%([\da-f]{2})/gi): string {
  return path.replace(escapes, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function merged(path: string): string {
  return path.replace(/\/+/g, '/');
}

function uncut(path: string): string {
  return path.replace(/;[^/]*/g, '');
}

function withoutDots(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

/** What a path may be put together from to look like another. */
const PIECES = [
  '',
  ...'. .. %2e %2E%2e .%2e %252e%252e ..; ..;x ; ;/.. ..%2f %2f %5c \\ ..\\ ..%5c %2e%2e%2f x'.split(
    ' ',
  ),
  ...'%00 %20 %09 ..%20 ..%09 %c0%ae%c0%ae %e0%80%ae %ef%bc%8e%ef%bc%8e admin %61dmin'.split(' '),
  ...'admin;x=1 admin%2f admin. %2561dmin admin%3b admin%00 admin%23 admin? %2fadmin %5cadmin'.split(
    ' ',
  ),
  ...'\\admin %252fadmin %255cadmin ;admin .; %2e; ..%3b ..%253b %3b # admin# % %2 %zz api'.split(
    ' ',
  ),
  ...'api%2fadmin api%5cadmin api; %2561pi'.split(' '),
];

function* spellings(): Generator<string> {
  for (const one of PIECES) {
    for (const two of PIECES) {
      yield* [`/${one}/${two}`, `/${one}${two}`, `//${one}/${two}`, `/${one}/${two}/admin`];
      yield* [`/x/${one}/${two}/admin`, `/${one}/${two}/../admin`, `/api/${one}/${two}`];
    }
  }
}

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
