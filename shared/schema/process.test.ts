import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { REGISTRY } from '../registry.ts';
import type { JsonObject } from './field.ts';
import { defineEntity, type AnyEntity } from './infer.ts';
import { ID, OTHER_ID, accepted, definition, deps, inserted } from './process.cases.ts';
import {
  processInsert,
  processUpdate,
  processUpsert,
  showEntity,
  validateEntity,
  violationMessage,
  type Processed,
} from './process.ts';

function refused(processed: Processed): string | null {
  return processed.ok ? null : violationMessage(processed.violations);
}

function refusedInsert(name: string, input: JsonObject): string | null {
  return refused(processInsert(definition(name), input, REGISTRY, deps()));
}

function patch(
  name: string,
  input: JsonObject,
  current: AnyEntity,
  nowSeconds?: number,
): Processed {
  return processUpdate(definition(name), input, current, REGISTRY, deps(nowSeconds));
}

function put(name: string, input: JsonObject, current: AnyEntity | null): Processed {
  return processUpsert(definition(name), input, current, REGISTRY, deps(1_800_000_000));
}

describe('POST', () => {
  it('spells out every field of a service, from its URL', () => {
    expect(inserted('services', { url: 'http://h.test/a' })).toEqual({
      id: ID,
      created_at: 1_700_000_000,
      updated_at: 1_700_000_000,
      name: null,
      retries: 5,
      protocol: 'http',
      host: 'h.test',
      port: 80,
      path: '/a',
      connect_timeout: 60_000,
      write_timeout: 60_000,
      read_timeout: 60_000,
      tags: null,
      client_certificate: null,
      tls_verify: null,
      tls_verify_depth: null,
      ca_certificates: null,
      enabled: true,
    });
  });

  it('keeps a given id, in lower case, and a given created_at', () => {
    const id = 'ABCDEF00-1111-4111-8111-111111111111';
    const entity = inserted('consumers', { id, username: 'a', created_at: 5, updated_at: 6 });

    expect(entity).toMatchObject({
      id: id.toLowerCase(),
      created_at: 5,
      updated_at: 1_700_000_000,
    });
  });

  it('generates a key of 32 characters', () => {
    const entity = inserted('keyauth_credentials', { consumer: { id: OTHER_ID }, key: null });

    expect(entity).toMatchObject({ key: 'r'.repeat(32), consumer: { id: OTHER_ID } });
  });

  it('keeps fractions of a second where the definition does', () => {
    const entity = inserted('targets', { target: 'a', upstream: { id: OTHER_ID } }, 5.123_456);

    expect(entity).toMatchObject({ created_at: 5.123, updated_at: 5.123 });
  });

  it('stores an explicit null, unless the field is required', () => {
    expect(inserted('services', { host: 'a', retries: null })).toMatchObject({ retries: null });
    expect(refusedInsert('services', { host: 'a', port: null })).toBe(
      'schema violation (port: required field missing)',
    );
  });

  it('drops what a set holds twice, first occurrence first', () => {
    expect(inserted('consumers', { username: 'a', tags: ['b', 'a', 'b'] })).toMatchObject({
      tags: ['b', 'a'],
    });
  });

  it("takes Lua's empty table for an empty list", () => {
    expect(inserted('consumers', { username: 'a', tags: {} })).toMatchObject({ tags: [] });
  });

  it('keeps of a foreign object only its id', () => {
    const entity = inserted('routes', { paths: ['/'], service: { id: OTHER_ID, name: 'x' } });

    expect(entity['service']).toEqual({ id: OTHER_ID });
  });

  it.each([
    ['x', 'schema violation (service.id: missing primary key)'],
    [{}, 'schema violation (service.id: missing primary key)'],
    [{ id: 5 }, 'schema violation (service.id: expected a string)'],
    [{ id: 'x' }, 'schema violation (service.id: expected a valid UUID)'],
  ])('refuses %j as a foreign key', (service, message) => {
    expect(refusedInsert('routes', { paths: ['/'], service })).toBe(message);
  });
});

describe('PUT', () => {
  it('resets what the body does not carry, but keeps the id', () => {
    const current = inserted('services', { id: OTHER_ID, host: 'a', retries: 1, tags: ['x'] });
    const entity = accepted(put('services', { host: 'b' }, current));

    expect(entity).toMatchObject({
      id: OTHER_ID,
      host: 'b',
      retries: 5,
      tags: null,
      created_at: 1_800_000_000,
    });
  });

  it('ignores an id in the body that is not the entity’s', () => {
    const current = inserted('consumers', { id: OTHER_ID, username: 'a' });

    expect(accepted(put('consumers', { id: ID, username: 'a' }, current)).id).toBe(OTHER_ID);
  });

  it('creates with the id it is given', () => {
    expect(accepted(put('consumers', { id: OTHER_ID, username: 'a' }, null)).id).toBe(OTHER_ID);
  });
});

describe('PATCH', () => {
  const plugin = inserted('plugins', { name: 'rate-limiting', config: { minute: 5, hour: 9 } });

  it('merges records, also the configuration of a plugin', () => {
    const entity = accepted(
      patch('plugins', { config: { minute: 6, redis: { port: 1 } } }, plugin),
    );

    expect(entity).toMatchObject({
      config: { minute: 6, hour: 9, redis: { port: 1, timeout: 2000 } },
    });
  });

  it('replaces lists and maps as a whole', () => {
    const route = inserted('routes', { paths: ['/a', '/b'], headers: { a: ['1'], b: ['2'] } });
    const entity = accepted(patch('routes', { paths: ['/c'], headers: { c: ['3'] } }, route));

    expect(entity).toMatchObject({ paths: ['/c'], headers: { c: ['3'] } });
    expect(Object.keys(entity['headers'] ?? {})).toEqual(['c']);
  });

  it('stores null where it may, and refuses it where it may not', () => {
    expect(accepted(patch('plugins', { config: { minute: null } }, plugin))).toMatchObject({
      config: { minute: null, hour: 9 },
    });
    expect(refused(patch('plugins', { enabled: null }, plugin))).toBe(
      'schema violation (enabled: required field missing)',
    );
    expect(refused(patch('plugins', { config: null }, plugin))).toBe(
      'schema violation (config: required field missing)',
    );
  });

  it('checks the merged entity, and says that it was updating', () => {
    expect(refused(patch('plugins', { config: { minute: null, hour: null } }, plugin))).toMatch(
      /^schema violation \(when updating, at least one of these fields must be non-empty: /,
    );
  });

  it('sets updated_at and keeps id, created_at and keys', () => {
    const credential = inserted('keyauth_credentials', { consumer: { id: OTHER_ID } }, 5);
    const entity = accepted(
      patch('keyauth_credentials', { id: OTHER_ID, key: null, created_at: null }, credential),
    );

    expect(entity).toEqual(credential);
    expect(accepted(patch('plugins', {}, plugin, 1_900_000_000))).toEqual({
      ...plugin,
      updated_at: 1_900_000_000,
    });
  });

  it('expands shorthands before it merges', () => {
    const service = inserted('services', { url: 'https://a.test/x', retries: 1 });

    expect(accepted(patch('services', { url: 'http://b.test:90' }, service))).toMatchObject({
      protocol: 'http',
      host: 'b.test',
      port: 90,
      path: null,
      retries: 1,
    });
  });

  it('does not change what is immutable', () => {
    const fixed = defineEntity({
      name: 'fixed',
      workspaceable: true,
      fields: {
        id: { type: 'string', uuid: true, auto: true },
        owner: { type: 'string', required: true, immutable: true },
      },
    });
    const current = accepted(processInsert(fixed, { owner: 'a' }, REGISTRY, deps()));

    expect(processUpdate(fixed, { owner: 'a' }, current, REGISTRY, deps()).ok).toBe(true);
    expect(refused(processUpdate(fixed, { owner: 'b' }, current, REGISTRY, deps()))).toBe(
      'schema violation (owner: immutable field cannot be updated)',
    );
  });
});

describe('bad input', () => {
  it.each(['__proto__', 'constructor', 'hasOwnProperty', 'valueOf'])(
    'with a field %s is refused and pollutes nothing',
    (name) => {
      const evil = JSON.parse(`{"${name}":{"polluted":true}}`) as JsonObject;
      const plugin = inserted('plugins', { name: 'key-auth' });

      expect(refusedInsert('consumers', { username: 'a', ...evil })).toBe(
        `schema violation (${name}: unknown field)`,
      );
      expect(refusedInsert('plugins', { name: 'key-auth', config: evil })).toBe(
        `schema violation (config.${name}: unknown field)`,
      );
      expect(refused(patch('plugins', { config: evil, ...evil }, plugin))).toBe(
        `2 schema violations (${[`${name}: unknown field`, `config.${name}: unknown field`]
          .toSorted()
          .join('; ')})`,
      );
      expect('polluted' in {}).toBe(false);
    },
  );

  it('with a plugin or protocol named after a member of Object is refused', () => {
    expect(refusedInsert('plugins', { name: '__proto__' })).toMatch(/'__proto__' not enabled/);
    expect(refusedInsert('plugins', { name: 'constructor' })).toMatch(/'constructor' not enabled/);
    expect(refusedInsert('routes', { protocols: ['constructor'], paths: ['/'] })).toBe(
      'schema violation (protocols: unknown type: constructor)',
    );
  });

  it('nested a hundred thousand deep is refused wherever it stands', () => {
    const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) as JsonObject[string];
    const config = { minute: 1, redis_host: 'a', redis: { host: deep } };

    expect(refusedInsert('consumers', { username: deep })).not.toBeNull();
    expect(refusedInsert('consumers', { username: 'a', tags: deep })).not.toBeNull();
    expect(refusedInsert('services', { url: deep })).not.toBeNull();
    expect(refusedInsert('routes', { protocols: deep })).not.toBeNull();
    expect(refusedInsert('plugins', { name: 'rate-limiting', config: deep })).not.toBeNull();
    expect(refusedInsert('plugins', { name: 'rate-limiting', config })).not.toBeNull();
    expect(refusedInsert('plugins', { name: deep })).toBe(
      'schema violation (name: expected a string)',
    );
  });

  it('of any shape is answered with an entity or with violations, never an exception', () => {
    const names = [...REGISTRY.entities.keys()];
    const anything = fc.jsonValue({ maxDepth: 4 });

    fc.assert(
      fc.property(fc.constantFrom(...names), anything, fc.nat(), (name, value, pick) => {
        const def = definition(name);
        const fields = [...Object.keys(def.fields), 'url', 'ttl', 'extra'];
        const field = must(fields[pick % fields.length], 'field');
        const plugin = name === 'plugins' ? { name: 'rate-limiting' } : {};
        const input = { ...plugin, [field]: value } as JsonObject;

        const processed = processInsert(def, input, REGISTRY, deps());

        if (processed.ok) expect(validateEntity(def, processed.entity, REGISTRY)).toBeNull();
        else expect(violationMessage(processed.violations)).toMatch(/^\d* ?schema violations? \(/);
      }),
      { numRuns: 500 },
    );
  });
});

/** Inputs that are accepted, with most fields of each kind in play. */
const tag = fc.stringMatching(/^[a-z:]{1,5}$/);
const common = { tags: fc.option(fc.array(tag, { maxLength: 3 })) };
const label = fc.stringMatching(/^[a-z]{1,8}$/);

/** Kong takes no IPv6 address with a dotted end. */
const ipV6 = fc.ipV6().filter((address) => !address.includes('.'));

const VALID: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  consumers: fc.record({ username: label, ...common }, { requiredKeys: ['username'] }),
  services: fc.record(
    {
      host: label,
      protocol: fc.constantFrom('http', 'https', 'tcp'),
      retries: fc.option(fc.integer({ min: 0, max: 100 })),
      enabled: fc.boolean(),
      ...common,
    },
    { requiredKeys: ['host'] },
  ),
  routes: fc.record(
    {
      paths: fc.array(
        label.map((name) => `/${name}`),
        { minLength: 1, maxLength: 3 },
      ),
      headers: fc.dictionary(label, fc.array(label, { minLength: 1 }), { maxKeys: 3 }),
      methods: fc.option(fc.uniqueArray(fc.constantFrom('GET', 'PUT'))),
      ...common,
    },
    { requiredKeys: ['paths'] },
  ),
  upstreams: fc.record(
    {
      name: label,
      algorithm: fc.constantFrom('round-robin', 'least-connections'),
      hash_on: fc.constantFrom('none', 'ip', 'consumer'),
      healthchecks: fc.record({ threshold: fc.integer({ min: 0, max: 100 }) }),
      ...common,
    },
    { requiredKeys: ['name'] },
  ),
  targets: fc.record({
    target: fc.oneof(label, fc.ipV4(), ipV6),
    upstream: fc.constant({ id: OTHER_ID }),
  }),
  plugins: fc.record({
    name: fc.constant('rate-limiting'),
    config: fc.record({
      minute: fc.integer({ min: 1, max: 9 }),
      redis_port: fc.option(fc.integer({ min: 1, max: 9 })),
    }),
  }),
};

describe('for every accepted entity', () => {
  it.each(Object.keys(VALID))('%s: PATCH with nothing changes nothing but updated_at', (name) => {
    fc.assert(
      fc.property(must(VALID[name], name), (input) => {
        const entity = inserted(name, input as JsonObject);
        const later = accepted(patch(name, {}, entity, 1_900_000_000));

        expect({ ...later, updated_at: 0 }).toEqual({ ...entity, updated_at: 0 });
        expect(later['updated_at']).toBe(1_900_000_000);
      }),
      { numRuns: 60 },
    );
  });

  it.each(Object.keys(VALID))('%s: PUT of what GET showed changes nothing', (name) => {
    fc.assert(
      fc.property(must(VALID[name], name), (input) => {
        const def = definition(name);
        const entity = inserted(name, input as JsonObject);
        const shown = showEntity(def, entity, REGISTRY, 1_700_000_000);
        const replaced = accepted(put(name, shown, entity));

        expect({ ...replaced, updated_at: 0 }).toEqual({ ...entity, updated_at: 0 });
        expect(validateEntity(def, entity, REGISTRY)).toBeNull();
      }),
      { numRuns: 60 },
    );
  });
});
