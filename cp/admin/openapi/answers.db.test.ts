import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { type JsonSchemas, jsonSchemas } from '../../../test/support/json-schemas.ts';
import { openTestAdmin, type TestAdmin } from '../admin.suite.ts';
import { EXAMPLES } from './examples.ts';

let test: TestAdmin;
let schemas: JsonSchemas;
let document: JsonObject;
beforeAll(async () => {
  test = await openTestAdmin({ allowUnsupported: true });
  document = (await test.call('GET', '/openapi.json')).body;
  schemas = jsonSchemas(document);
});
afterAll(() => test?.close());

/** Component that says most of what is wrong with it. */
function schemaOf(kind: string, entity: JsonObject | undefined): string {
  return kind === 'plugins' ? `plugins.${String(entity?.['name'])}` : kind;
}

/** Where an example of a kind is posted. */
function collectionOf(kind: string): string {
  const definition = REGISTRY.entities.get(kind);
  if (kind === 'targets') return '/upstreams/orders.internal/targets';
  return `/${definition?.admin_api_name ?? kind}`;
}

describe('the document that the API serves', () => {
  it('is JSON that any program may read', async () => {
    const { status, headers } = await test.call('GET', '/openapi.json');
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(document['openapi']).toBe('3.1.1');
  });

  it('names a kind whose first segment no workspace can take', async () => {
    const { status } = await test.call('POST', '/workspaces', { name: 'openapi.json' });
    expect(status).toBe(400);
  });

  // In this order, some examples point to the ones before.
  it.each([...REGISTRY.entities.keys()].filter((kind) => Object.hasOwn(EXAMPLES, kind)))(
    'has an example of %s that the API takes, and answers as documented',
    async (kind) => {
      const made = await test.call('POST', collectionOf(kind), EXAMPLES[kind]);
      expect([made.status, made.text]).toEqual([201, made.text]);
      expect(schemas.errors(schemaOf(kind, made.body), made.body)).toBe('');
      const got = await test.call('GET', `${collectionOf(kind)}/${String(made.body['id'])}`);
      expect(schemas.errors(kind, got.body)).toBe('');
      const page = await test.call('GET', collectionOf(kind));
      for (const entity of page.body['data'] as readonly JsonObject[]) {
        expect(schemas.errors(kind, entity)).toBe('');
      }
    },
  );

  it('describes errors as they are', async () => {
    for (const [path, input] of [
      ['/services', {}],
      ['/services', { host: 'a', tags: [1] }],
      ['/plugins', { name: 'nothing' }],
    ] as const) {
      const { status, body } = await test.call('POST', path, input);
      expect(status).toBe(400);
      expect(schemas.errors('error', body)).toBe('');
    }
  });
});
