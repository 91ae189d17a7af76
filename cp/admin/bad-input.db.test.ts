import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import type {
  EntityDefinition,
  Field,
  Fields,
  JsonObject,
  JsonValue,
} from '#shared/schema/field.ts';
import { fieldOf, isPlainObject, isRequired } from '#shared/schema/validate.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';
import { EXAMPLES } from './openapi/examples.ts';

/** Kinds that can be written by a collection of their own, with where. */
const COLLECTIONS = [...REGISTRY.entities.values()]
  .filter(({ name }) => Object.hasOwn(EXAMPLES, name))
  .map((definition) => [definition.name, pathOf(definition)] as const);
const UUID = '0123abcd-0123-4abc-8abc-0123456789ab';

/** One bad value, and the field that the answer must name. */
interface BadValue {
  readonly what: string;
  readonly at: readonly string[];
  readonly body: JsonObject;
}

let test: TestAdmin;
beforeAll(async () => {
  test = await openTestAdmin({ allowUnsupported: true });
  for (const [kind, path] of COLLECTIONS) {
    const made = await test.call('POST', path, EXAMPLES[kind]);
    expect([kind, made.status, made.text]).toEqual([kind, 201, made.text]);
  }
});
afterAll(() => test?.close());

function pathOf({ name, admin_api_name: apiName }: EntityDefinition): string {
  return name === 'targets' ? '/upstreams/orders.internal/targets' : `/${apiName ?? name}`;
}

/** Without a shorthand: its values would win over bad ones of the fields that it stands for. */
function exampleOf(kind: string): JsonObject {
  const { url, ...example } = must(EXAMPLES[kind], kind);
  return url === undefined ? example : { ...example, host: 'orders.internal' };
}

function definitionOf(kind: string): EntityDefinition {
  return must(REGISTRY.entities.get(kind), kind);
}

async function versions(): Promise<unknown> {
  const sql =
    'SELECT sum(version) AS v, (SELECT count(*) FROM changes) AS c FROM workspace_versions';
  return (await test.store.db.query(sql)).rows;
}

/** Values that this field refuses, with a word for each. */
function badValues(field: Field): [what: string, value: JsonValue][] {
  const bad: [string, JsonValue][] = [];
  if (field.type === 'json') return bad;
  bad.push(['the wrong type', field.type === 'string' ? 42 : 'x']);
  if (isRequired(field) && field.auto !== true && field.abstract !== true) bad.push(['null', null]);
  if (field.type === 'string') {
    bad.push(['a NUL', 'a\u0000b'], ['a lone surrogate', 'a\ud800']);
    if (field.one_of !== undefined) bad.push(['none of the choices', 'no such choice']);
    if (field.uuid === true) bad.push(['no UUID', 'x']);
    if (field.len_max !== undefined) bad.push(['too long', 'a'.repeat(field.len_max + 1)]);
  }
  if (field.type === 'integer') bad.push(['a fraction', 1.5]);
  if (field.type === 'integer' || field.type === 'number') {
    bad.push(['a number beyond 2^53', 2 ** 60]);
    if (field.between !== undefined) {
      bad.push(['too little', field.between[0] - 1], ['too much', field.between[1] + 1]);
    }
  }
  if (field.type === 'foreign') {
    bad.push(['an id that is none', { id: 'x' }], ['a key without an id', {}]);
  }
  if (field.type === 'array' || field.type === 'set') {
    for (const [what, value] of badValues(field.elements)) bad.push([`${what} in it`, [value]]);
  }
  if (field.type === 'map') {
    for (const [what, value] of badValues(field.values)) bad.push([`${what} in it`, { a: value }]);
  }
  return bad;
}

/** Every field of a record, and of the records in it, with every value it refuses. */
function* cases(
  fields: Fields,
  at: readonly string[],
  wrap: (inner: JsonObject) => JsonObject,
): Generator<BadValue> {
  yield {
    what: 'an unknown field',
    at: [...at, 'no_such_field'],
    body: wrap({ no_such_field: 1 }),
  };
  for (const [name, field] of Object.entries(fields)) {
    // Set anew with each write, whatever is sent.
    if (name === 'updated_at' || field.transient === true) continue;
    for (const [what, value] of badValues(field)) {
      yield { what, at: [...at, name], body: wrap({ [name]: value }) };
    }
    if (field.type !== 'record' || field.abstract === true) continue;
    yield* cases(field.fields, [...at, name], (inner) => wrap({ [name]: inner }));
  }
}

/** Whether `fields` of an error says something at this place, or of a record around it. */
function names(fields: unknown, at: readonly string[]): boolean {
  const [first, ...rest] = at;
  if (typeof fields === 'string' || first === undefined) return fields !== undefined;
  return isPlainObject(fields) && Object.hasOwn(fields, first) && names(fields[first], rest);
}

async function complaints(path: string, bad: Iterable<BadValue>): Promise<string[]> {
  const before = await versions();
  const found: string[] = [];
  for (const { what, at, body } of bad) {
    const answer = await test.call('POST', path, body);
    const isRight = answer.status === 400 && names(answer.body['fields'], at);
    if (!isRight)
      found.push(`${at.join('.')} ${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
  }
  expect(await versions()).toEqual(before);
  return found;
}

describe('a bad value', () => {
  it.each(COLLECTIONS)(
    'in any field of %s is refused by the name of the field',
    async (kind, path) => {
      const { fields, subschemas } = definitionOf(kind);
      const example = exampleOf(kind);
      const overrides = subschemas?.[String(example['name'] ?? 'http')]?.fields;
      const shown = Object.keys(fields)
        // The path of targets says which upstream they belong to.
        .filter((name) => kind !== 'targets' || name !== 'upstream')
        .map((name) => [name, must(fieldOf({ fields, overrides }, name), name)]);
      const wrap = (inner: JsonObject) => ({ ...example, ...inner });
      expect(await complaints(path, cases(Object.fromEntries(shown), [], wrap))).toEqual([]);
    },
  );

  it.each([...REGISTRY.plugins.keys()])(
    'in any field of the configuration of %s is, too',
    async (name) => {
      const { config } = must(REGISTRY.plugins.get(name), name).fields;
      const wrap = (inner: JsonObject) => ({ name, config: inner });
      expect(await complaints('/plugins', cases(config.fields, ['config'], wrap))).toEqual([]);
    },
    60_000,
  );
});

describe('what points nowhere, is there already or cannot be searched for', () => {
  it.each(COLLECTIONS)('is refused in %s by the name of the field', async (kind, path) => {
    const definition = definitionOf(kind);
    const before = await versions();
    for (const [name, field] of Object.entries(definition.fields)) {
      if (field.type !== 'foreign' || (kind === 'targets' && name === 'upstream')) continue;
      const input = { ...another(kind), [name]: { id: UUID } };
      const answer = await test.call('POST', path, input);
      expect([name, answer.status, Object.keys(fieldsOf(answer.body))]).toEqual([
        name,
        400,
        [name],
      ]);
    }
    const repeated = await test.call('POST', path, exampleOf(kind));
    if (repeated.status !== 201) {
      expect([409, 400]).toContain(repeated.status);
      expect(Object.keys(fieldsOf(repeated.body)).length).toBeGreaterThan(0);
      expect(await versions()).toEqual(before);
    }
  });

  it.each(COLLECTIONS)(
    'has a field of %s named that is too long for an index',
    async (kind, path) => {
      const before = await versions();
      const { fields } = definitionOf(kind);
      const texts = Object.entries(fields).filter(
        // The digest of a certificate is computed, whatever is sent.
        ([name, field]) =>
          name !== 'cert_digest' &&
          field.unique === true &&
          field.type === 'string' &&
          field.secret === undefined,
      );
      const long = Array.from({ length: 300 }, () => randomUUID()).join('');
      for (const [name] of texts) {
        const answer = await test.call('POST', path, { ...another(kind), [name]: long });
        expect([name, answer.status, Object.keys(fieldsOf(answer.body))]).toEqual([
          name,
          400,
          [name],
        ]);
      }
      expect(await versions()).toEqual(before);
    },
  );

  it.each([
    ['/routes', { paths: ['~/('] }, 'paths'],
    ['/routes', { paths: ['~/(?<a'] }, 'paths'],
    ['/routes', { headers: { 'x-a': ['~*('] } }, '@entity'],
    ['/routes', { hosts: ['*.a.*'] }, 'hosts'],
  ] as const)('is refused in %s %j for its regex', async (path, input, name) => {
    const answer = await test.call('POST', path, input);
    expect([answer.status, Object.keys(fieldsOf(answer.body))]).toEqual([400, [name]]);
  });
});

describe('a body that is no entity', () => {
  const deep = `{"tags":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
  const bomb = new Uint8Array(gzipSync('a'.repeat(20_000_000)));
  const gzip = { 'content-encoding': 'gzip' };
  const bodies: readonly (readonly [
    what: string,
    status: number,
    body: string | Uint8Array,
    headers?: object,
  ])[] = [
    ['10,000 levels of JSON', 400, deep],
    ['10,000 levels of records', 400, `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
    [
      'bytes that are not UTF-8',
      400,
      Buffer.from([...Buffer.from('{"tags":["'), 0xff, ...Buffer.from('"]}')]),
    ],
    ['a small body that unpacks to a huge one', 415, bomb, gzip],
    ['a list', 400, '[]'],
    ['JSON that ends early', 400, '{"tags":['],
  ];

  it.each(COLLECTIONS)('is refused for %s and writes nothing', async (kind, path) => {
    const before = await versions();
    for (const [what, status, body, headers] of bodies) {
      for (const [method, at] of [
        ['POST', path],
        ['PUT', `${path}/${UUID}`],
      ] as const) {
        const answer = await test.call(method, at, body, headers);
        expect([kind, what, method, answer.status]).toEqual([kind, what, method, status]);
      }
    }
    expect(await versions()).toEqual(before);
  });
});

function fieldsOf(body: JsonObject): JsonObject {
  const { fields } = body;
  return isPlainObject(fields) ? (fields as JsonObject) : {};
}

/** The example as one more entity, with values of its own where they must be unique. */
function another(kind: string): JsonObject {
  const { fields } = definitionOf(kind);
  const { id: _, ...example } = exampleOf(kind);
  const entries = Object.entries(example).map(([name, value]): [string, JsonValue] => {
    const isText = fields[name]?.unique === true && typeof value === 'string' && name !== 'cert';
    return [name, isText ? `u-${randomUUID()}.test` : value];
  });
  // So that a client certificate may be named.
  return Object.fromEntries(kind === 'services' ? [...entries, ['protocol', 'https']] : entries);
}
