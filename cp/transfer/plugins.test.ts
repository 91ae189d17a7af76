import { describe, expect, it } from 'vitest';
import { assessed, judgePlugin, loadedOf, verdictOf } from './transfer.suite.ts';

describe('plugins that are not there', () => {
  it.each([
    ['my-own', /^plugin 'my-own' is a custom one/],
    ['openid-connect', /^plugin 'openid-connect' comes with Kong Enterprise only/],
    ['rate-limiting-advanced', /'rate-limiting' does part of what it does$/],
  ])('%s is not possible', async (name, reason) => {
    const { outcome, reasons } = await judgePlugin({ name });
    expect(outcome).toBe('not possible');
    expect(reasons).toEqual([expect.stringMatching(reason)]);
  });

  it('have no configuration to be judged by', async () => {
    const { reasons } = await judgePlugin({ name: 'my-own', config: { whatever: { a: [1] } } });
    expect(reasons).toHaveLength(1);
  });
});

describe('plugins that no data plane can run yet', () => {
  const datadog = { name: 'datadog', config: { host: 'localhost' } };

  it('are not possible', async () => {
    const { outcome, reasons } = await judgePlugin(datadog);
    expect(outcome).toBe('not possible');
    expect(reasons[0]).toMatch(/^name: plugin 'datadog' cannot be run by any data plane yet/);
  });

  it('are stored by a control plane that is set so, with a note', async () => {
    const { outcome, notes } = await judgePlugin(datadog, true);
    expect(outcome).toBe('taken over');
    expect(notes).toEqual([expect.stringMatching(/no data plane can run it yet/)]);
  });

  it('are meant by a configuration of one as well', async () => {
    const config = { minute: 5, policy: 'redis', redis: { host: 'redis' } };
    const { outcome, reasons } = await judgePlugin({ name: 'rate-limiting', config });
    expect(outcome).toBe('not possible');
    expect(reasons[0]).toMatch(/^config\.policy: 'redis' is not supported yet/);
  });
});

describe('Lua code', () => {
  it.each(['pre-function', 'post-function'])('of %s is not possible', async (name) => {
    const config = { access: ['kong.log("x")'], log: [], rewrite: ['return 1'] };
    const { outcome, reasons } = await judgePlugin({ name, config });
    expect(outcome).toBe('not possible');
    expect(reasons).toEqual([
      `plugin '${name}' is Lua code in access, rewrite: no data plane runs Lua`,
    ]);
  });

  it('in fields of a log is not possible', async () => {
    const config = {
      http_endpoint: 'http://logs.test',
      custom_fields_by_lua: { user: 'return 1', x: 'return 2' },
    };
    const { reasons } = await judgePlugin({ name: 'http-log', config });
    expect(reasons).toEqual([
      'config.custom_fields_by_lua is Lua code (user, x): no data plane runs Lua',
    ]);
    const without = { ...config, custom_fields_by_lua: {} };
    const verdict = await judgePlugin({ name: 'http-log', config: without }, true);
    expect(verdict.outcome).toBe('taken over');
  });

  it.each([
    ['$(headers.host)', true],
    ['$(headers["x-user"])', true],
    ["a-$(query_params['q'])-$(uri_captures[1])", true],
    ['$(uri_captures.name)', true],
    ['costs $5 (net)', true],
    ['$(headers.a or "b")', false],
    ['$(string.upper(headers.a))', false],
    ['$((function() return 1 end)())', false],
    ['$(headers.a) $(os.time())', false],
    ['$(open', false],
  ])('is what a template of request-transformer holds or not: %s', async (value, isFine) => {
    const config = { add: { headers: [`x:${value}`] } };
    const plugin = { name: 'request-transformer', config };
    const { outcome, reasons } = await judgePlugin(plugin, isFine);
    expect(outcome).toBe(isFine ? 'taken over' : 'not possible');
    if (!isFine) expect(reasons[0]).toMatch(/^config\.add\.headers\[0\]: \$\(.*\) is Lua code/);
  });
});

describe('Lua code where plugins are stored that no data plane can run', () => {
  it('is stored with them, with a note', async () => {
    const plugin = { name: 'pre-function', config: { access: ['return 1'] } };
    const { outcome, notes } = await judgePlugin(plugin, true);
    expect(outcome).toBe('taken over');
    expect(notes).toEqual([
      "plugin 'pre-function' is Lua code in access: no data plane runs Lua",
      expect.stringMatching(/it is stored, and what it protects stays shut/),
    ]);
  });
});

describe('fields of Kong Enterprise', () => {
  it.each([
    [{ consumer_group: { id: 'x' } }, /^consumer_group: /],
    [{ partials: [{ name: 'p' }] }, /^partials: /],
    [{ ordering: { before: { access: ['acl'] } } }, /^ordering: /],
    [{ condition: 'a == b' }, /^condition: /],
  ])('%j is not possible', async (fields, reason) => {
    const { outcome, reasons } = await judgePlugin({ name: 'key-auth', ...fields });
    expect(outcome).toBe('not possible');
    expect(reasons).toEqual([expect.stringMatching(reason)]);
  });

  it('say nothing when they are empty', async () => {
    const fields = {
      consumer_group: null,
      partials: [],
      ordering: {},
      ws_id: 'x',
      run_on: 'first',
    };
    const { outcome } = await judgePlugin({ name: 'key-auth', ...fields });
    expect(outcome).toBe('taken over');
  });

  it('of a configuration are left out when they are null, and named when not', async () => {
    const { outcome } = await judgePlugin({ name: 'key-auth', config: { realms: null } });
    expect(outcome).toBe('taken over');
    const verdict = await judgePlugin({ name: 'key-auth', config: { realms: ['a'] } });
    expect(verdict.reasons).toEqual(['config.realms: unknown field']);
  });
});

describe('deprecated fields', () => {
  it('move to the ones that replaced them', async () => {
    const config = { minute: 5, redis_host: 'redis', redis_port: 6380 };
    const assessment = await assessed({ plugins: [{ name: 'rate-limiting', config }] });
    expect(verdictOf(assessment, 'plugins')).toMatchObject({
      outcome: 'changed',
      changes: [
        'config.redis_host is deprecated and has moved to config.redis.host',
        'config.redis_port is deprecated and has moved to config.redis.port',
      ],
    });
    expect(loadedOf(assessment, 'plugins')['config']).toEqual({
      minute: 5,
      redis: { host: 'redis', port: 6380 },
    });
  });

  it('that only repeat the new ones change nothing', async () => {
    const config = { minute: 5, redis_host: 'redis', redis_ssl: null, redis: { host: 'redis' } };
    const assessment = await assessed({ plugins: [{ name: 'rate-limiting', config }] });
    expect(verdictOf(assessment, 'plugins').outcome).toBe('taken over');
    expect(loadedOf(assessment, 'plugins')['config']).toEqual({
      minute: 5,
      redis: { host: 'redis' },
    });
  });

  it('that contradict the new ones are not possible', async () => {
    const config = { minute: 5, redis_host: 'a', redis: { host: 'b' } };
    const { reasons } = await judgePlugin({ name: 'rate-limiting', config });
    expect(reasons[0]).toMatch(/their values mismatch: redis_host = a vs redis\.host = b/);
  });
});

describe('fields of plugins before 3.0', () => {
  it('are called what they are called now', async () => {
    const config = { whitelist: ['10.0.0.0/8'], blacklist: null, allow: null };
    const content = { plugins: [{ name: 'ip-restriction', config }] };
    const assessment = await assessed(content, { allowUnsupported: true });
    expect(verdictOf(assessment, 'plugins')).toMatchObject({
      outcome: 'changed',
      changes: ['config.whitelist is called config.allow now'],
    });
    expect(loadedOf(assessment, 'plugins')['config']).toEqual({ allow: ['10.0.0.0/8'] });
  });

  it('are not possible where both names say something, and not the same', async () => {
    const config = { whitelist: ['10.0.0.0/8'], allow: ['10.0.0.1'] };
    const { reasons } = await judgePlugin({ name: 'ip-restriction', config }, true);
    expect(reasons).toEqual([
      'config.whitelist and config.allow, its new name, say different things',
    ]);
  });
});

describe("decK's shared configurations", () => {
  const shared = { _plugin_configs: { strict: { minute: 5, hour: 50 } } };

  it('are what a plugin has, but for what it says itself', async () => {
    const plugin = { name: 'rate-limiting', _config: 'strict', config: { hour: 60 } };
    const assessment = await assessed({ ...shared, plugins: [plugin] });
    expect(loadedOf(assessment, 'plugins')).toEqual({
      name: 'rate-limiting',
      config: { minute: 5, hour: 60 },
    });
  });

  it('must be there', async () => {
    const plugin = { name: 'rate-limiting', _config: 'lax' };
    const { reasons } = verdictOf(await assessed({ ...shared, plugins: [plugin] }), 'plugins');
    expect(reasons[0]).toBe('_config: there is no lax in _plugin_configs');
  });
});
