import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { jsonSchemas } from '../../../test/support/json-schemas.ts';
import { adminEndpoints } from '../app.ts';
import { displayPath } from '../context.ts';
import { docsOf, openapiDocument } from './document.ts';
import { exampleOf, EXAMPLES } from './examples.ts';
import { handWrittenDocs } from './hand-written.ts';

const endpoints = adminEndpoints(REGISTRY.entities);
const document = openapiDocument(endpoints, REGISTRY);
const table = handWrittenDocs(REGISTRY.entities);
const schemas = jsonSchemas(document);

/** Every object in a JSON value, with where it lies. */
function* objectsIn(value: JsonValue, at = '#'): Generator<readonly [string, JsonObject]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [at, value as JsonObject];
  for (const [name, member] of Object.entries(value)) yield* objectsIn(member, `${at}/${name}`);
}

function resolve(ref: string): unknown {
  let value: unknown = document;
  for (const name of ref.slice(2).split('/')) value = (value as Record<string, unknown>)?.[name];
  return value;
}

describe('the OpenAPI document', () => {
  it('is one by the standard', async () => {
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors ?? []).toEqual([]);
    expect(result.valid).toBe(true);
  });

  it('refers to nothing that it lacks', () => {
    const refs = [...objectsIn(document)].flatMap(([at, { $ref: ref }]) =>
      typeof ref === 'string' ? [[at, ref] as const] : [],
    );
    expect(refs.length).toBeGreaterThan(500);
    expect(refs.filter(([, ref]) => resolve(ref) === undefined)).toEqual([]);
  });

  it('has every path and method that answers', () => {
    const known = endpoints.flatMap((endpoint) =>
      Object.keys(endpoint.methods).map((method) => `${method} ${displayPath(endpoint)}`),
    );
    const told = Object.entries(document['paths'] as JsonObject).flatMap(([path, item]) =>
      Object.keys(item as JsonObject)
        .filter((name) => name !== 'parameters')
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect([...new Set(known)].filter((operation) => !told.includes(operation))).toEqual([]);
    expect(told.filter((operation) => !known.includes(operation))).toEqual([]);
  });

  it('has an entry for every hand-written endpoint, and none without one', () => {
    const missing = endpoints.flatMap((endpoint) =>
      Object.keys(endpoint.methods)
        .filter((method) => !Object.hasOwn(docsOf(endpoint, table), method))
        .map((method) => `${method} ${displayPath(endpoint)}`),
    );
    expect(missing).toEqual([]);
    const paths = new Set(endpoints.map(displayPath));
    expect(Object.keys(table).filter((path) => !paths.has(path))).toEqual([]);
  });

  it('names each operation once', () => {
    const ids = [...objectsIn(document['paths'] ?? null)].flatMap(([, { operationId }]) =>
      typeof operationId === 'string' ? [operationId] : [],
    );
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  });

  it('declares every parameter of a path, and no other', () => {
    for (const [path, item] of Object.entries(document['paths'] as JsonObject)) {
      const declared = (item as JsonObject)['parameters'] as readonly JsonObject[] | undefined;
      const names = (declared ?? []).map((parameter) => `{${String(parameter['name'])}}`);
      expect(names.toSorted(), path).toEqual((path.match(/\{\w+\}/g) ?? []).toSorted());
    }
  });

  it('compiles every schema', () => {
    const names = Object.keys(resolve('#/components/schemas') as JsonObject);
    for (const name of names) expect(schemas.errors(name, undefined), name).not.toBe('');
    expect(names).toContain('plugins.key-auth.config.given');
    for (const kind of REGISTRY.entities.keys()) {
      expect(names).toEqual(expect.arrayContaining([kind, `${kind}.given`, `${kind}.changed`]));
    }
  });

  it.each(Object.keys(EXAMPLES))('has a valid example of %s', (kind) => {
    expect(schemas.errors(`${kind}.given`, EXAMPLES[kind])).toBe('');
    const change = exampleOf(kind, 'changed');
    if (change !== null) expect(schemas.errors(`${kind}.changed`, change)).toBe('');
  });

  it('has an example of every kind that can be added', () => {
    const missing = endpoints
      .filter((endpoint) => endpoint.docs !== undefined)
      .map((endpoint) => endpoint.docs?.POST?.body)
      .flatMap((body) => (body?.type === 'entity' ? [body.kind] : []))
      .filter((kind) => exampleOf(kind, 'given') === null);
    expect([...new Set(missing)]).toEqual([]);
  });

  it('refuses what the API refuses', () => {
    const { errors } = schemas;
    expect(errors('services.given', { host: 'a.test', unknown: 1 })).toMatch(/additional/);
    expect(errors('services.given', {})).toMatch(/required/);
    expect(errors('services.given', { url: 'http://a.test' })).toBe('');
    expect(errors('services.given', { host: 'a.test', port: 65_536 })).toMatch(/65535/);
    expect(errors('services.given', { host: 'a.test', name: null })).toBe('');
    expect(errors('services.given', { host: 'a.test', protocol: null })).not.toBe('');
    expect(errors('routes.given', { protocols: ['tcp'], paths: ['/a'] })).not.toBe('');
    expect(errors('routes.given', { paths: ['/a'], methods: ['get'] })).toMatch(/pattern/);
    expect(errors('plugins.given', { name: 'key-auth', config: { minute: 1 } })).not.toBe('');
    expect(errors('plugins.given', { name: 'nothing' })).not.toBe('');
    expect(errors('services.changed', { port: 80 })).toBe('');
    expect(errors('services.given', { host: 'a.test', tags: ['a', 'a'] })).toMatch(/duplicate/);
    // Alike once their members are filled in, so they are shown alike.
    const twins = { protocols: ['tcp'], sources: [{ port: 1 }, { port: 1 }] };
    expect(errors('routes.given', twins)).toBe('');
  });
});
