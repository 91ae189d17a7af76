import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { REGISTRY } from '../registry.ts';
import type { JsonObject } from '../schema/field.ts';
import { processInsert, processUpdate, violationMessage } from '../schema/process.ts';
import { ENTITIES } from './index.ts';
import { normalizeTarget } from './target.ts';

const ID = '11111111-1111-4111-8111-111111111111';
const DEPS = { nowSeconds: 1, uuid: () => ID, randomText: (length: number) => 'r'.repeat(length) };

/** The message, or null when it is accepted. */
function refusal(name: string, input: JsonObject): string | null {
  const processed = processInsert(must(ENTITIES.get(name), name), input, REGISTRY, DEPS);
  return processed.ok ? null : violationMessage(processed.violations);
}

function inserted(name: string, input: JsonObject): JsonObject {
  const processed = processInsert(must(ENTITIES.get(name), name), input, REGISTRY, DEPS);
  return must(processed.ok ? processed.entity : null, name);
}

describe('the entities', () => {
  it('stand in an order in which each comes after what it refers to', () => {
    const names = [...ENTITIES.keys()];

    for (const [index, definition] of [...ENTITIES.values()].entries()) {
      for (const field of Object.values(definition.fields)) {
        if (field.type !== 'foreign') continue;
        expect(names.slice(0, index)).toContain(field.reference);
      }
    }
  });

  it('name keys that are fields of theirs', () => {
    for (const definition of ENTITIES.values()) {
      const {
        endpoint_key: key,
        cache_key: together = [],
        placement,
        subschema_key: sub,
      } = definition;
      for (const name of [key, placement, sub, ...together].filter(
        (given) => given !== undefined,
      )) {
        expect(Object.keys(definition.fields)).toContain(name);
      }
    }
  });

  it('keep as secrets what opens something, by value only what must be found by it', () => {
    const secrets = [...ENTITIES.values()].flatMap((definition) =>
      Object.entries(definition.fields)
        .filter(([, field]) => field.secret !== undefined)
        .map(([name, field]) => `${definition.name}.${name}: ${field.secret}`),
    );

    expect(secrets).toEqual([
      'certificates.key: sealed',
      'certificates.key_alt: sealed',
      'keys.jwk: sealed',
      'acme_storage.value: sealed',
      'basicauth_credentials.password: sealed',
      'hmacauth_credentials.secret: sealed',
      'jwt_secrets.secret: sealed',
      'keyauth_credentials.key: lookup',
      'oauth2_credentials.client_secret: sealed',
      'oauth2_authorization_codes.code: lookup',
      'oauth2_tokens.access_token: lookup',
      'oauth2_tokens.refresh_token: lookup',
      'sessions.session_id: lookup',
      'sessions.data: sealed',
    ]);
  });
});

describe('a service', () => {
  it.each([
    ['http://h.test', { protocol: 'http', host: 'h.test', port: 80, path: null }],
    ['https://h.test/', { protocol: 'https', host: 'h.test', port: 443, path: '/' }],
    [
      'http://h.test:8080/a/b?q=1#f',
      { protocol: 'http', host: 'h.test', port: 8080, path: '/a/b' },
    ],
    ['https://u:p@h.test', { protocol: 'https', host: 'h.test', port: 443, path: null }],
    ['http://[::1]:81/x', { protocol: 'http', host: '::1', port: 81, path: '/x' }],
    ['//h.test:443', { protocol: 'https', host: 'h.test', port: 443, path: null }],
    ['grpc://h.test:9000', { protocol: 'grpc', host: 'h.test', port: 9000, path: null }],
  ])('takes the URL %s apart', (url, parts) => {
    expect(inserted('services', { url })).toMatchObject(parts);
  });

  it.each([
    ['ftp://h.test', /protocol: expected one of: grpc, grpcs, http/],
    ['nonsense', /host: required field missing; path: should start with: \//],
    ['http://h.test:port', /port: expected an integer/],
    ['http://h.test:70000', /port: value should be between 0 and 65535/],
    ['http://h.test/a b', /path: invalid path: /],
    ['grpc://h.test/x', /path: value must be null/],
  ])('refuses the URL %s', (url, message) => {
    expect(refusal('services', { url })).toMatch(message);
  });

  it('has a path only where the protocol has one, and TLS settings only with TLS', () => {
    const text = "failed conditional validation given value of field 'protocol'";

    expect(refusal('services', { host: 'a', protocol: 'tcp', path: '/x' })).toBe(
      `2 schema violations (${text}; path: value must be null)`,
    );
    expect(refusal('services', { host: 'a', tls_verify: true })).toBe(
      `2 schema violations (${text}; tls_verify: value must be null)`,
    );
    expect(refusal('services', { host: 'a', protocol: 'https', tls_verify: true })).toBeNull();
  });
});

function mustSet(fields: string, protocol: string): string {
  return `schema violation (must set one of ${fields} when 'protocols' is '${protocol}')`;
}

describe('a route', () => {
  it('needs something to match by, by protocol', () => {
    expect(refusal('routes', {})).toBe(
      mustSet("'methods', 'hosts', 'headers', 'paths', 'snis'", 'https'),
    );
    expect(refusal('routes', { protocols: ['http'] })).toBe(
      mustSet("'methods', 'hosts', 'headers', 'paths'", 'http'),
    );
    expect(refusal('routes', { protocols: ['grpc'] })).toBe(
      mustSet("'hosts', 'headers', 'paths'", 'grpc'),
    );
    expect(refusal('routes', { protocols: ['tls_passthrough'] })).toBe(
      "schema violation (must set snis when 'protocols' is 'tls_passthrough')",
    );
    expect(refusal('routes', { protocols: ['https'], snis: ['a.test'] })).toBeNull();
  });

  it('has only what its protocol can match', () => {
    expect(refusal('routes', { paths: ['/'], sources: [{ ip: '1.2.3.4' }] })).toBe(
      "schema violation (sources: cannot set 'sources' when 'protocols' is 'http' or 'https')",
    );
    expect(refusal('routes', { protocols: ['tcp'], hosts: ['a'], snis: ['b'] })).toContain(
      "hosts: cannot set 'hosts' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
    );
    expect(refusal('routes', { protocols: ['http'], paths: ['/'], snis: ['a'] })).toBe(
      "2 schema violations ('snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' " +
        "or 'tls_passthrough'; snis: length must be 0)",
    );
    expect(refusal('routes', { protocols: ['tcp'], sources: [{}] })).toMatch(
      /sources\.1: \{\n {2}\["@entity"\] = \{\n {4}"at least one of these fields must be non-empty/,
    );
  });

  it('takes protocols of one family only', () => {
    expect(refusal('routes', { protocols: ['http', 'grpc'], paths: ['/'] })).toBe(
      "schema violation (protocols: these sets are mutually exclusive: ('http', 'https'), " +
        "('grpc', 'grpcs'))",
    );
    expect(refusal('routes', { protocols: [], paths: ['/'] })).toBe(
      'schema violation (protocols: unknown type: nil)',
    );
    expect(refusal('routes', { protocols: 'http', paths: ['/'] })).toBe(
      'schema violation (protocols: expected a set)',
    );
  });

  it('of gRPC does not strip its path', () => {
    expect(inserted('routes', { protocols: ['grpc'], paths: ['/a'] })).toMatchObject({
      strip_path: false,
    });
    expect(refusal('routes', { protocols: ['grpc'], paths: ['/a'], strip_path: true })).toBe(
      "schema violation (strip_path: cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs')",
    );
  });

  it('counts bad paths from 1 and says what is wrong with regexes', () => {
    expect(refusal('routes', { paths: ['~/a('] })).toMatch(
      /^schema violation \(paths\.1: invalid regex:/,
    );
    expect(refusal('routes', { paths: ['/a', '~/b['] })).toMatch(
      /^schema violation \(paths\.2: invalid regex:/,
    );
    expect(refusal('routes', { paths: ['a'] })).toBe(
      'schema violation (paths.1: should start with: / (fixed path) or ~/ (regex path))',
    );
    expect(refusal('routes', { paths: ['/a//b'] })).toBe(
      'schema violation (paths.1: must not have empty segments)',
    );
  });

  it.each([
    ['*.test', null],
    ['a.*', null],
    ['a.test:8000', null],
    ['*.*', 'invalid wildcard: must have at most one wildcard'],
    ['a.*.b', 'invalid wildcard: must be placed at leftmost or rightmost label'],
    ['a*', 'invalid wildcard: must be placed at leftmost or rightmost label'],
    ['a b', 'invalid hostname: a b'],
    ['a:70000', 'invalid port number'],
  ])('with the host %s: %s', (host, error) => {
    const expected = error === null ? null : `schema violation (hosts.1: ${error})`;

    expect(refusal('routes', { hosts: [host] })).toBe(expected);
  });

  it('matches headers by name, but not the host header', () => {
    expect(refusal('routes', { headers: { 'x-a': ['1', '~*^b$'] } })).toBeNull();
    expect(refusal('routes', { headers: { Host: ['a'] } })).toBe(
      "schema violation (headers: cannot contain 'host' header, which must be specified in the " +
        "'hosts' attribute)",
    );
    expect(refusal('routes', { headers: { 'x a': ['1'] } })).toMatch(
      /headers: bad header name 'x a'/,
    );
    expect(refusal('routes', { headers: { x: ['~*('] } })).toMatch(
      /^schema violation \(Router Expression failed validation: /,
    );
  });

  it('answers a host of a megabyte at once', () => {
    const hosts = Array.from({ length: 250 }, () => `${'a'.repeat(4000)}*${'a'.repeat(95)}*`);
    const startedAt = performance.now();

    expect(refusal('routes', { hosts })).toContain('must have at most one wildcard');
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

describe('an upstream', () => {
  it.each([
    ['a.v', null],
    ['1.2.3.4', "Invalid name ('1.2.3.4'); no ip addresses allowed"],
    ['a:80', "Invalid name ('a:80'); no port allowed"],
    ['a b', "Invalid name ('a b'); must be a valid hostname"],
  ])('named %s: %s', (name, error) => {
    expect(refusal('upstreams', { name })).toBe(
      error === null ? null : `schema violation (name: ${error})`,
    );
  });

  it.each([
    // The algorithm resets `hash_on` first, as in Kong.
    [{ algorithm: 'least-connections', hash_on: 'ip' }, 'least-connections', 'none'],
    [{ algorithm: 'least-connections' }, 'least-connections', 'none'],
    [{ algorithm: 'latency' }, 'latency', 'none'],
    [{ hash_on: 'ip' }, 'consistent-hashing', 'ip'],
    [{ hash_on: 'none' }, 'round-robin', 'none'],
    [{ hash_on: null }, 'round-robin', 'none'],
  ])('with %j hashes as %s on %s', (input, algorithm, hashOn) => {
    expect(inserted('upstreams', { name: 'a', ...input })).toMatchObject({
      algorithm,
      hash_on: hashOn,
    });
  });

  it('names the companion that an input needs', () => {
    expect(refusal('upstreams', { name: 'a', hash_on: 'header' })).toBe(
      "2 schema violations (failed conditional validation given value of field 'hash_on'; " +
        'hash_on_header: required field missing)',
    );
    expect(refusal('upstreams', { name: 'a', hash_on: 'ip', hash_fallback: 'ip' })).toMatch(
      /hash_fallback: expected one of: none, consumer, header/,
    );
  });

  it('has no interval of passive checks', () => {
    const healthchecks = { passive: { unhealthy: { interval: 1 } } };

    expect(refusal('upstreams', { name: 'a', healthchecks })).toContain(
      'interval = "unknown field"',
    );
  });

  it('keeps health checks that PATCH does not speak of', () => {
    const def = must(ENTITIES.get('upstreams'), 'upstreams');
    const current = inserted('upstreams', { name: 'a', healthchecks: { threshold: 5 } });
    const healthchecks = { active: { healthy: { interval: 3 } } };
    const patched = processUpdate(def, { healthchecks }, { ...current, id: ID }, REGISTRY, DEPS);

    expect(patched).toMatchObject({
      ok: true,
      entity: {
        healthchecks: {
          threshold: 5,
          active: { timeout: 1, healthy: { interval: 3, http_statuses: [200, 302] } },
        },
      },
    });
  });
});

describe('a target', () => {
  it.each([
    ['a.test', 'a.test:8000'],
    ['a.test:80', 'a.test:80'],
    ['001.2.3.4', '1.2.3.4:8000'],
    ['[::1]', '[0000:0000:0000:0000:0000:0000:0000:0001]:8000'],
    ['::1', '[0000:0000:0000:0000:0000:0000:0000:0001]:8000'],
  ])('%s is kept as %s', (target, normal) => {
    expect(inserted('targets', { target, upstream: { id: ID } })).toMatchObject({ target: normal });
    expect(normalizeTarget(normal)).toBe(normal);
  });

  it('is a host or an address of an upstream', () => {
    expect(refusal('targets', { target: 'a b', upstream: { id: ID } })).toBe(
      "schema violation (target: Invalid target ('a b'); not a valid hostname or ip address)",
    );
    expect(refusal('targets', { target: 'a' })).toBe(
      'schema violation (upstream: required field missing)',
    );
  });
});

describe('a workspace', () => {
  it('is not named like a collection of the Admin API', () => {
    expect(refusal('workspaces', { name: 'services' })).toMatch(
      /name: must not be one of: workspaces/,
    );
    expect(refusal('workspaces', { name: 'team-a' })).toBeNull();
  });
});
