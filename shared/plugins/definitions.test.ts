import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { REGISTRY } from '../registry.ts';
import type { JsonObject } from '../schema/field.ts';
import { processInsert, showEntity, violationMessage, type Processed } from '../schema/process.ts';
import { PLUGIN_DEFINITIONS } from './definitions.ts';

const ID = '11111111-1111-4111-8111-111111111111';
const DEPS = { nowSeconds: 1, uuid: () => ID, randomText: (length: number) => 'r'.repeat(length) };
const PLUGINS = must(REGISTRY.entities.get('plugins'), 'plugins');

function insert(name: string, config: JsonObject, rest: JsonObject = {}): Processed {
  return processInsert(PLUGINS, { name, config, ...rest }, REGISTRY, DEPS);
}

function refusal(name: string, config: JsonObject, rest: JsonObject = {}): string | null {
  const processed = insert(name, config, rest);
  return processed.ok ? null : violationMessage(processed.violations);
}

function shownConfig(processed: Processed): JsonObject {
  const entity = must(processed.ok ? processed.entity : null, 'accepted');
  return showEntity(PLUGINS, entity, REGISTRY, 1)['config'] as JsonObject;
}

function conditionalText(field: string): string {
  return `failed conditional validation given value of field 'config.${field}'`;
}

describe('the plugins', () => {
  it('run in the order of their priorities, which are Kong’s', () => {
    const priorities = [...PLUGIN_DEFINITIONS.values()]
      .toSorted((a, b) => b.priority - a.priority)
      .map(({ name, priority }) => [name, priority]);

    expect(priorities).toEqual([
      ['pre-function', 1_000_000],
      ['correlation-id', 100_001],
      ['zipkin', 100_000],
      ['bot-detection', 2500],
      ['cors', 2000],
      ['session', 1900],
      ['acme', 1705],
      ['jwt', 1450],
      ['oauth2', 1400],
      ['key-auth', 1250],
      ['ldap-auth', 1200],
      ['basic-auth', 1100],
      ['hmac-auth', 1030],
      ['grpc-gateway', 998],
      ['ip-restriction', 990],
      ['request-size-limiting', 951],
      ['acl', 950],
      ['rate-limiting', 910],
      ['response-ratelimiting', 900],
      ['request-transformer', 801],
      ['response-transformer', 800],
      ['redirect', 779],
      ['ai-request-transformer', 777],
      ['ai-prompt-template', 773],
      ['ai-prompt-decorator', 772],
      ['ai-prompt-guard', 771],
      ['ai-proxy', 770],
      ['ai-response-transformer', 768],
      ['standard-webhooks', 760],
      ['aws-lambda', 750],
      ['azure-functions', 749],
      ['proxy-cache', 100],
      ['opentelemetry', 14],
      ['prometheus', 13],
      ['http-log', 12],
      ['statsd', 11],
      ['datadog', 10],
      ['file-log', 9],
      ['udp-log', 8],
      ['tcp-log', 7],
      ['loggly', 6],
      ['syslog', 4],
      ['grpc-web', 3],
      ['request-termination', 2],
      ['post-function', -1000],
    ]);
  });

  it('say which of them close their scope when they are broken', () => {
    const protecting = [...PLUGIN_DEFINITIONS.values()].filter(({ protects }) => protects);

    expect(protecting.map(({ name }) => name).toSorted()).toEqual([
      'acl',
      'ai-prompt-guard',
      'ai-prompt-template',
      'ai-proxy',
      'aws-lambda',
      'azure-functions',
      'basic-auth',
      'bot-detection',
      'hmac-auth',
      'ip-restriction',
      'jwt',
      'key-auth',
      'ldap-auth',
      'oauth2',
      'post-function',
      'pre-function',
      'rate-limiting',
      'redirect',
      'request-size-limiting',
      'request-termination',
      'response-ratelimiting',
      'standard-webhooks',
    ]);
  });

  it('apply to the protocols of HTTP only', () => {
    expect(refusal('key-auth', {}, { protocols: ['tcp'] })).toBe(
      'schema violation (protocols.1: expected one of: grpc, grpcs, http, https)',
    );
  });

  it('need a configuration that is a record', () => {
    expect(refusal('key-auth', { garbage: 1 })).toBe(
      'schema violation (config.garbage: unknown field)',
    );
    const processed = processInsert(PLUGINS, { name: 'key-auth', config: 'x' }, REGISTRY, DEPS);
    expect(processed).toMatchObject({ violations: { config: 'expected a record' } });
  });
});

describe('key-auth', () => {
  it('cannot be scoped to a consumer', () => {
    expect(refusal('key-auth', {}, { consumer: { id: ID } })).toBe(
      'schema violation (consumer: value must be null)',
    );
  });

  it('takes names that can be headers', () => {
    expect(refusal('key-auth', { key_names: ['ok', 'a b'] })).toMatch(
      /^schema violation \(config\.key_names: \{\n {2}\[2\] = "bad header name 'a b'/,
    );
  });
});

describe('rate-limiting', () => {
  it('needs a limit', () => {
    expect(refusal('rate-limiting', {})).toMatch(
      /^schema violation \(at least one of these fields must be non-empty: 'config\.second', /,
    );
    expect(refusal('rate-limiting', { minute: 0 })).toBe(
      'schema violation (config.minute: value must be greater than 0)',
    );
  });

  it('lets no longer period allow less than a shorter one', () => {
    expect(refusal('rate-limiting', { second: 10, minute: 10, hour: 9.5 })).toBe(
      'schema violation (config: The limit for hour(9.5) cannot be lower than the limit for ' +
        'second(10.0))',
    );
  });

  it('names what a policy or a way of counting needs', () => {
    expect(refusal('rate-limiting', { minute: 1, limit_by: 'header' })).toBe(
      `2 schema violations (${conditionalText('limit_by')}; config.header_name: required field missing)`,
    );
    expect(refusal('rate-limiting', { minute: 1, policy: 'redis' })).toContain(
      'host = "required field missing"',
    );
    expect(refusal('rate-limiting', { minute: 1, sync_rate: 1 })).toBe(
      'schema violation (config: sync_rate can only be used with the redis policy)',
    );
    expect(
      refusal('rate-limiting', { minute: 1, policy: 'redis', redis_host: 'a', sync_rate: 0.01 }),
    ).toBe('schema violation (config: sync_rate must be greater than 0.02, or -1 to disable)');
  });

  it('takes the deprecated spelling and shows both', () => {
    const config = shownConfig(insert('rate-limiting', { minute: 1, redis_host: 'r.test' }));

    expect(config).toMatchObject({
      redis: { host: 'r.test', port: 6379 },
      redis_host: 'r.test',
      redis_port: 6379,
      redis_password: null,
      redis_username: null,
      redis_ssl: false,
      redis_ssl_verify: false,
      redis_server_name: null,
      redis_timeout: 2000,
      redis_database: 0,
    });
  });

  it('takes both spellings when they agree, and refuses them when they do not', () => {
    const both = { minute: 1, redis_port: 5, redis: { port: 5 } };

    expect(insert('rate-limiting', both)).toMatchObject({ ok: true });
    expect(insert('rate-limiting', { ...both, redis_port: 6 })).toMatchObject({
      ok: false,
      violations: {
        redis_port:
          'both deprecated and new field are used but their values mismatch: ' +
          'redis_port = 6 vs redis.port = 5',
      },
    });
  });

  it('lets a deprecated value fill a new spelling that is null', () => {
    const redis = { host: null };
    const processed = insert('rate-limiting', { minute: 1, redis_host: 'r.test', redis });

    expect(shownConfig(processed)).toMatchObject({ redis: { host: 'r.test' } });
  });

  it('lets the new spelling win over a deprecated null', () => {
    const processed = insert('rate-limiting', {
      minute: 1,
      redis_host: null,
      redis: { host: 'r.test' },
    });

    expect(shownConfig(processed)).toMatchObject({ redis: { host: 'r.test' } });
  });
});

describe('response-transformer', () => {
  it('takes name:value pairs, and header names on both sides of a rename', () => {
    expect(refusal('response-transformer', { add: { headers: ['x-a:1', 'x-b:'] } })).toBeNull();
    expect(refusal('response-transformer', { add: { headers: ['x-a'] } })).toContain(
      'invalid value: x-a',
    );
    expect(refusal('response-transformer', { rename: { headers: ['a:b', 'a:b c'] } })).toContain(
      "'b c' is not a valid header",
    );
    expect(refusal('response-transformer', { add: { json_types: ['array'] } })).toContain(
      'expected one of: boolean, number, string',
    );
  });
});
