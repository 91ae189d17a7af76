/** What each plugin's configuration must have, and what it refuses. */
import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { REGISTRY } from '../registry.ts';
import type { Field, JsonObject, JsonValue } from '../schema/field.ts';
import { deps, ID } from '../schema/process.cases.ts';
import {
  processInsert,
  processUpdate,
  processUpsert,
  showEntity,
  validateEntity,
  violationMessage,
  type Processed,
} from '../schema/process.ts';
import { REGEXES_MAX } from '../schema/typedefs.ts';
import { PLUGIN_DEFINITIONS } from './definitions.ts';
import { LEAST, LLM } from './schemas.cases.ts';

const PLUGINS = must(REGISTRY.entities.get('plugins'), 'plugins');

function insert(name: string, config: JsonObject, rest: JsonObject = {}): Processed {
  return processInsert(PLUGINS, { name, config, ...rest }, REGISTRY, deps());
}

function refusal(processed: Processed): string | null {
  return processed.ok ? null : violationMessage(processed.violations);
}

/** The complete configuration made of the least one and what is put over it. */
function completed(name: string, more: JsonObject = {}): JsonObject {
  const processed = insert(name, { ...LEAST[name], ...more });
  expect(refusal(processed)).toBeNull();
  return must(processed.ok ? processed.entity : null, name)['config'] as JsonObject;
}

describe.each([...PLUGIN_DEFINITIONS.values()])('$name', (definition) => {
  const { name, fields } = definition;

  it('is complete from the least input, which stays valid', () => {
    const processed = insert(name, must(LEAST[name], name));
    const entity = must(processed.ok ? processed.entity : null, String(refusal(processed)));

    expect(Object.keys(entity['config'] as JsonObject)).toEqual(Object.keys(fields.config.fields));
    expect(validateEntity(PLUGINS, entity, REGISTRY)).toBeNull();
    expect(JSON.parse(JSON.stringify(entity))).toEqual(entity);
  });

  it('refuses what it does not know, and a field of the wrong type, by name', () => {
    const [first = ''] = Object.keys(fields.config.fields);

    expect(refusal(insert(name, { ...LEAST[name], nonsense: 1 }))).toContain(
      'config.nonsense: unknown field',
    );
    expect(refusal(insert(name, { ...LEAST[name], [first]: { a: [] } }))).toContain(
      `config.${first}`,
    );
  });

  it('keeps as ciphertext whatever Kong marks as encrypted', () => {
    const leaks = leavesOf(fields.config, 'config')
      .filter(([, field]) => field.encrypted === true && field.secret !== 'sealed')
      .map(([path]) => path);

    expect(leaks).toEqual([]);
  });
});

/** Every field that holds no others, with its path. */
function leavesOf(field: Field, path: string): [string, Field][] {
  switch (field.type) {
    case 'record':
      return Object.entries(field.fields).flatMap(([name, inner]) =>
        leavesOf(inner, `${path}.${name}`),
      );
    case 'array':
    case 'set':
      return leavesOf(field.elements, `${path}[]`);
    case 'map':
      return leavesOf(field.values, `${path}{}`);
    default:
      return [[path, field]];
  }
}

describe('secrets', () => {
  it('that Kong does not mark as encrypted are kept as ciphertext as well', () => {
    const more = [...PLUGIN_DEFINITIONS.values()].flatMap(({ name, fields }) =>
      leavesOf(fields.config, name)
        .filter(([, field]) => field.secret !== undefined && field.encrypted !== true)
        .map(([path]) => path),
    );

    expect(more.toSorted()).toEqual([
      'acme.storage_config.consul.token',
      'acme.storage_config.vault.token',
      'ai-proxy.auth.gcp_service_account_json',
      'ai-request-transformer.llm.auth.gcp_service_account_json',
      'ai-response-transformer.llm.auth.gcp_service_account_json',
    ]);
  });
});

describe('a scope', () => {
  it.each(['consumer', 'route', 'service'])('of one %s is nothing for acme', (scope) => {
    const processed = insert('acme', must(LEAST['acme'], 'acme'), { [scope]: { id: ID } });

    expect(refusal(processed)).toBe(`schema violation (${scope}: value must be null)`);
  });
});

const CONDITION = 'failed conditional validation given value of field';

describe('a configuration is refused', () => {
  it.each<[string, JsonObject, string]>([
    ['acl', { deny: ['x'] }, "exactly one of these fields must be non-empty: 'config.allow'"],
    ['acl', { allow: null }, "at least one of these fields must be non-empty: 'config.allow'"],
    ['acme', { account_email: 'nobody' }, 'config.account_email: invalid value: nobody'],
    [
      'acme',
      { api_uri: 'https://acme-v02.api.letsencrypt.org', tos_accepted: false },
      'terms of service must be accepted, see https://letsencrypt.org/repository/',
    ],
    ['acme', { storage: 'redis' }, `${CONDITION} 'config.storage'`],
    ['acme', { api_uri: 'acme.test' }, 'config.api_uri: missing host in url'],
    ['acme', { domains: ['a.*.test'] }, 'invalid wildcard: must be placed at leftmost or'],
    [
      'acme',
      { storage_config: { redis: { extra_options: { namespace: 'kong_acme:cert_key:x' } } } },
      "namespace can't be prefixed with reserved word: kong_acme:cert_key:",
    ],
    ['ai-prompt-decorator', { prompts: {} }, 'at least one of these fields must be non-empty'],
    [
      'ai-prompt-decorator',
      { prompts: { prepend: Array.from({ length: 16 }, () => ({ content: 'x' })) } },
      'length must be at most 15',
    ],
    ['ai-prompt-guard', { deny_patterns: null }, 'at least one of these fields must be non-empty'],
    ['ai-prompt-guard', { deny_patterns: ['a(?=b)'] }, 'not a valid regex: a(?=b) ('],
    ['ai-prompt-guard', { allow_patterns: Array(11).fill('a') }, 'length must be at most 10'],
    [
      'ai-prompt-guard',
      { match_all_roles: true, allow_all_conversation_history: true },
      `${CONDITION} 'config.match_all_roles'`,
    ],
    ['ai-prompt-template', { templates: [{ name: 'a' }] }, 'template = "required field missing"'],
    ['ai-proxy', { model: { provider: 'mistral' } }, "must set 'model.options.mistral_format'"],
    [
      'ai-proxy',
      { model: { provider: 'llama2', options: { llama2_format: 'raw' } } },
      "must set 'model.options.upstream_url' for self-hosted providers/models",
    ],
    ['ai-proxy', { auth: { header_name: 'x' } }, 'all or none of these fields must be set'],
    [
      'ai-proxy',
      { model: { provider: 'bedrock' }, auth: { allow_override: true } },
      'bedrock and gemini only support auth.allow_override = false',
    ],
    [
      'ai-proxy',
      { model: { provider: 'openai', options: { gemini: { project_id: 'p' } } } },
      "must be set: 'api_endpoint', 'project_id', 'location_id'",
    ],
    [
      'ai-proxy',
      {
        route_type: 'llm/v1/completions',
        model: { provider: 'anthropic', options: { anthropic_version: '1' } },
        logging: { log_statistics: true },
      },
      'anthropic does not support statistics when route_type is llm/v1/completions',
    ],
    [
      'ai-proxy',
      { llm_format: 'gemini' },
      "native llm_format 'gemini' can only be used with the 'gemini' model.provider",
    ],
    [
      'ai-proxy',
      { llm_format: 'bedrock', route_type: 'preserve' },
      "can only be used with the 'llm/v1/chat' route_type",
    ],
    [
      'ai-request-transformer',
      { llm: { ...LLM, route_type: 'llm/v1/completions' } },
      "'config.llm.route_type' must be 'llm/v1/chat' for AI transformer plugins",
    ],
    ['ai-request-transformer', { http_proxy_host: 'a' }, "'config.http_proxy_port'"],
    [
      'ai-response-transformer',
      { transformation_extract_pattern: '(' },
      'config.transformation_extract_pattern: not a valid regex: ( (',
    ],
    ['aws-lambda', { aws_key: 'k' }, "must be set: 'config.aws_key', 'config.aws_secret'"],
    ['aws-lambda', { proxy_url: 'https://a.test' }, 'proxy_url scheme must be http'],
    ['aws-lambda', { proxy_url: 'a.test' }, 'config.proxy_url: missing host in url'],
    ['aws-lambda', { unhandled_status: 99 }, 'value should be between 100 and 999'],
    ['azure-functions', { appname: null }, 'config.appname: required field missing'],
    ['bot-detection', { allow: ['a++'] }, 'not a valid regex: a++ ('],
    [
      'bot-detection',
      { deny: Array(REGEXES_MAX + 1).fill('a') },
      `config.deny: length must be at most ${REGEXES_MAX}`,
    ],
    ['cors', { origins: ['*.a.test'] }, "'*.a.test' is not a valid regex ("],
    ['cors', { origins: Array(REGEXES_MAX + 1).fill('a') }, 'config.origins: length must be at'],
    ['cors', { methods: ['get'] }, 'expected one of: GET, HEAD'],
    ['datadog', { metrics: [{ name: 'latency', stat_type: 'gauge' }] }, 'sample_rate = "required'],
    ['datadog', { metrics: [{ name: 'latency', stat_type: 'set', tags: ['a:'] }] }, 'value: a:'],
    ['file-log', { path: '/tmp/a*b' }, 'config.path: not a valid filename'],
    ['file-log', { path: '/tmp/a%b' }, 'config.path: not a valid filename'],
    ['hmac-auth', { clock_skew: 0 }, 'config.clock_skew: value must be greater than 0'],
    ['http-log', { headers: { hOST: 'a' } }, "cannot contain 'Host' header"],
    ['http-log', { headers: { 'content-Length': '1' } }, "cannot contain 'Content-Length' header"],
    ['http-log', { headers: { 'Content-type': 'a' } }, "cannot contain 'Content-Type' header"],
    ['http-log', { headers: { 'a b': 'a' } }, "bad header name 'a b'"],
    [
      'http-log',
      { http_endpoint: 'http://u:p@log.test', headers: { Authorization: 'x' } },
      "specifying both an 'Authorization' header and user info in 'http_endpoint'",
    ],
    ['http-log', { queue: { concurrency_limit: 2 } }, 'expected one of: -1, 1'],
    ['ip-restriction', { deny: null }, 'at least one of these fields must be non-empty'],
    ['ip-restriction', { deny: ['10.0.0.0/33'] }, "invalid ip or cidr range: '10.0.0.0/33'"],
    ['jwt', { maximum_expiration: 1, claims_to_verify: ['nbf'] }, 'expected to contain: exp'],
    ['ldap-auth', { ldaps: true, start_tls: true }, "'ldaps' and 'start_tls' cannot be enabled"],
    ['oauth2', { enable_client_credentials: false }, 'at least one of these fields must be true'],
    ['oauth2', { mandatory_scope: true }, 'config.scopes: required field missing'],
    ['opentelemetry', { traces_endpoint: null }, "'traces_endpoint', 'logs_endpoint'"],
    ['opentelemetry', { endpoint: 'otel' }, 'endpoint: missing host in url'],
    ['opentelemetry', { resource_attributes: { a: '' } }, 'length must be at least 1'],
    ['post-function', { access: [] }, 'at least one of these fields must be non-empty'],
    ['pre-function', { log: null }, 'config.log: required field missing'],
    ['proxy-cache', { response_code: [] }, 'length must be at least 1'],
    ['proxy-cache', { strategy: 'redis' }, 'config.strategy: expected one of: memory'],
    ['redirect', { location: '/elsewhere' }, 'config.location: missing host in url'],
    [
      'request-termination',
      { message: 'a', body: 'b' },
      'message cannot be used with content_type',
    ],
    ['request-termination', { content_type: 'a/b' }, 'content_type requires a body'],
    ['request-termination', { echo: true, body: 'b' }, 'echo cannot be used with content_type'],
    ['request-termination', { trigger: 'a b' }, "bad header name 'a b'"],
    ['request-transformer', { http_method: 'get' }, 'config.http_method: invalid value: get'],
    ['request-transformer', { remove: { headers: ['a b'] } }, "'a b' is not a valid header"],
    ['request-transformer', { add: { querystring: ['a'] } }, "key 'a' has no value"],
    ['request-transformer', { add: { headers: ['a'] } }, 'invalid value: a'],
    ['request-transformer', { rename: { headers: ['a:b c'] } }, "'b c' is not a valid header"],
    ['response-ratelimiting', { limits: {} }, 'config.limits: length must be at least 1'],
    ['response-ratelimiting', { limits: { a: {} } }, 'at least one of these fields must be non-'],
    [
      'response-ratelimiting',
      { limits: { a: { second: 2, year: 1 } } },
      'the limit for year(1.0) cannot be lower than the limit for second(2.0)',
    ],
    ['response-ratelimiting', { policy: 'redis' }, 'host = "required field missing"'],
    ['response-ratelimiting', { redis_port: 1, redis: { port: 2 } }, 'their values mismatch'],
    ['session', { cookie_samesite: 'no' }, 'config.cookie_same_site: expected one of: Strict'],
    ['standard-webhooks', { tolerance_second: -1 }, 'value must be greater than -1'],
    ['statsd', { metrics: [{ name: 'latency', stat_type: 'counter' }] }, 'sample_rate = "required'],
    ['statsd', { allow_status_codes: ['2xx'] }, 'invalid value: 2xx'],
    ['tcp-log', { host: 'a:1' }, 'config.host: must not have a port'],
    ['udp-log', { port: 65_536 }, 'config.port: value should be between 0 and 65535'],
    ['zipkin', { static_tags: [{ name: 'lc', value: 'x' }] }, 'must not be one of: error'],
    [
      'zipkin',
      {
        static_tags: [
          { name: 'a', value: 'x' },
          { name: 'a', value: 'y' },
        ],
      },
      'repeated tags are not allowed: a',
    ],
    ['zipkin', { propagation: { inject: ['w3c'] } }, 'default_format = "required field missing"'],
  ])('%s with %j', (name, config, text) => {
    expect(refusal(insert(name, { ...LEAST[name], ...config }))).toContain(text);
  });
});

describe('a configuration is taken', () => {
  it.each<[string, JsonObject]>([
    ['acme', { api_uri: 'https://ca.test/', tos_accepted: false }],
    ['ai-prompt-guard', { allow_patterns: ['\\bpie\\b'], match_all_roles: true }],
    ['bot-detection', { allow: Array(REGEXES_MAX).fill('a'), deny: ['(?i)bot/\\d+'] }],
    ['cors', { origins: ['*', 'http://a.test', 'https?:\\/\\/.*\\.b\\.test$', 'null'] }],
    ['file-log', { path: './a b.log' }],
    ['http-log', { http_endpoint: 'http://u:p@log.test', headers: { a: 'x' } }],
    ['http-log', { http_endpoint: '{vault://env/endpoint}' }],
    ['jwt', { maximum_expiration: 1, claims_to_verify: ['exp'] }],
    ['request-transformer', { add: { headers: ['a:'], body: ['a:b:c'] } }],
    ['request-transformer', { replace: { uri: '/x' }, rename: { body: ['a:b'] } }],
  ])('%s with %j', (name, config) => {
    completed(name, config);
  });
});

describe('former names', () => {
  function shown(name: string, config: JsonObject): JsonValue {
    const processed = insert(name, { ...LEAST[name], ...config });
    const entity = must(processed.ok ? processed.entity : null, String(refusal(processed)));
    return showEntity(PLUGINS, entity, REGISTRY, 1)['config'] ?? null;
  }

  it('of acme’s Redis are taken and shown beside the new ones', () => {
    const former = { auth: 'p', ssl_server_name: 'r.test', namespace: 'ns', scan_count: 3 };

    expect(shown('acme', { storage_config: { redis: former } })).toMatchObject({
      storage_config: {
        redis: {
          ...former,
          password: 'p',
          server_name: 'r.test',
          extra_options: { namespace: 'ns', scan_count: 3 },
        },
      },
    });
  });

  it('of opentelemetry’s endpoint lose against the new one, and are not shown', () => {
    const former = { endpoint: 'http://former.test' };

    expect(shown('opentelemetry', { ...former, traces_endpoint: null })).toMatchObject({
      traces_endpoint: 'http://former.test',
    });
    expect(shown('opentelemetry', former)).toMatchObject(LEAST['opentelemetry'] ?? {});
    expect(shown('opentelemetry', former)).not.toHaveProperty('endpoint');
  });

  it('of session win, and are not shown', () => {
    const former = {
      cookie_lifetime: 1,
      cookie_idletime: null,
      cookie_renew: 2,
      cookie_discard: 3,
      cookie_samesite: 'off',
      cookie_httponly: false,
      cookie_persistent: true,
    };
    const config = shown('session', { ...former, remember: false });

    expect(config).toMatchObject({
      rolling_timeout: 1,
      idling_timeout: 0,
      stale_ttl: 3,
      cookie_same_site: 'Lax',
      cookie_http_only: false,
      remember: true,
    });
    for (const name of Object.keys(former)) expect(config).not.toHaveProperty(name);
  });

  it('of queues are kept beside the queue', () => {
    expect(shown('http-log', { queue_size: 5 })).toMatchObject({
      queue_size: 5,
      retry_count: null,
      queue: { max_batch_size: 1 },
    });
  });
});

describe('what is made up', () => {
  it('is a secret for sessions, kept until another is sent', () => {
    const inserted = insert('session', {});
    const entity = must(inserted.ok ? inserted.entity : null, 'session');
    const other = { ...deps(), randomText: (length: number) => 'x'.repeat(length) };
    const put = processUpsert(PLUGINS, { name: 'session' }, entity, REGISTRY, other);
    const patch = processUpdate(PLUGINS, { config: { secret: null } }, entity, REGISTRY, other);
    const made = { entity: { config: { secret: 'r'.repeat(44) } } };

    expect(inserted).toMatchObject(made);
    expect(put).toMatchObject(made);
    expect(patch).toMatchObject(made);
    expect(completed('session', { secret: 'mine' })).toMatchObject({ secret: 'mine' });
  });

  it('is a provision key for OAuth', () => {
    expect(completed('oauth2')).toMatchObject({ provision_key: 'r'.repeat(32) });
    expect(completed('oauth2', { provision_key: 'mine' })).toMatchObject({ provision_key: 'mine' });
  });
});

describe('defaults', () => {
  it('of records are completed field by field', () => {
    expect(completed('opentelemetry')).toMatchObject({
      queue: { max_batch_size: 200, max_entries: 10_000 },
      propagation: { default_format: 'w3c', extract: null },
    });
    expect(completed('opentelemetry', { queue: {} })).toMatchObject({
      queue: { max_batch_size: 1 },
    });
    expect(completed('zipkin')).toMatchObject({ propagation: { default_format: 'b3' } });
  });

  it('of metrics are complete records', () => {
    const { metrics } = completed('datadog');

    expect(metrics).toHaveLength(6);
    expect(metrics).toContainEqual({
      name: 'latency',
      stat_type: 'timer',
      tags: ['app:kong'],
      sample_rate: null,
      consumer_identifier: 'custom_id',
    });
  });
});
