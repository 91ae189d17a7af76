/**
 * What `GET /schemas/…` answers, against Kong Gateway 3.9's own answers in `entities/` and
 * `plugins/`. Free text (descriptions, messages) is left out of them: it is not part of the contract.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY, registryFor } from '#shared/registry.ts';
import type { EntityDefinition, JsonValue } from '#shared/schema/field.ts';
import { subschemaToKongSchema, toKongSchema } from '#shared/schema/to-kong-schema.ts';

const FREE_TEXT = new Set(['description', 'err', 'then_err', 'else_then_err', 'message']);

function withoutFreeText(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(withoutFreeText);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => !(FREE_TEXT.has(name) && typeof member === 'string'))
      .map(([name, member]) => [name, withoutFreeText(member as JsonValue)]),
  );
}

/**
 * Stands where Kong shows a default that is another one in each of its processes (the secret of
 * session). We show none: what is missing is made up when it is written.
 */
const RANDOM_DEFAULT = '<44 random alphanumeric chars, generated once per process start>';

type Kind =
  | 'entities'
  | 'plugins'
  | 'vaults'
  | 'routes-traditional-compatible'
  | 'routes-expressions'
  | 'routes-expressions/subschemas';

function golden(kind: Kind, name: string): unknown {
  const text = readFileSync(new URL(`${kind}/${name}.json`, import.meta.url), 'utf8');
  return JSON.parse(text, (_, value: unknown) => (value === RANDOM_DEFAULT ? undefined : value));
}

function goldenNames(kind: Kind): string[] {
  return readdirSync(new URL(`${kind}/`, import.meta.url)).map((file) => file.slice(0, -5));
}

/** Kong has no such thing. */
const OURS: ReadonlySet<string> = new Set(['clustering_groups']);

const KONGS = [...REGISTRY.entities.keys()].filter((name) => !OURS.has(name));

describe('GET /schemas/{entity}', () => {
  it.each(KONGS)('shows %s as Kong does', (name) => {
    const definition = REGISTRY.entities.get(name);
    const shown = definition === undefined ? null : toKongSchema(definition);

    expect(withoutFreeText(shown)).toEqual(golden('entities', name));
  });

  it('has a golden file for every entity and no other', () => {
    expect(goldenNames('entities').toSorted()).toEqual(KONGS.toSorted());
  });

  it('shows no function and no attribute of our own', () => {
    const text = JSON.stringify(
      [...REGISTRY.entities.values()]
        .map((definition) => toKongSchema(definition))
        .concat([...REGISTRY.plugins.values()].map((plugin) => subschemaToKongSchema(plugin))),
    );

    expect(text).not.toContain('"custom_validator"');
    expect(text).not.toContain('"secret":"');
    expect(text).not.toContain('"random_default"');
    expect(text).not.toContain('"costly"');
    expect(text).not.toContain('"fn"');
  });
});

describe('GET /schemas/plugins/{name}', () => {
  it.each([...REGISTRY.plugins.keys()])('shows %s as Kong does', (name) => {
    const definition = REGISTRY.plugins.get(name);
    const shown = definition === undefined ? null : subschemaToKongSchema(definition);

    expect(withoutFreeText(shown)).toEqual(golden('plugins', name));
  });

  it('has a golden file for every plugin and no other', () => {
    expect(goldenNames('plugins').toSorted()).toEqual([...REGISTRY.plugins.keys()].toSorted());
  });
});

describe('GET /schemas/vaults/{name}', () => {
  const kinds = REGISTRY.entities.get('vaults')?.subschemas ?? {};

  it.each(Object.keys(kinds))('shows %s as Kong does', (name) => {
    const shown = subschemaToKongSchema(must(kinds[name], name));
    expect(withoutFreeText(shown)).toEqual(golden('vaults', name));
  });

  it('has a golden file for every vault and no other', () => {
    expect(goldenNames('vaults')).toEqual(Object.keys(kinds));
  });
});

describe('a route', () => {
  const route = (flavor: 'traditional_compatible' | 'expressions'): EntityDefinition =>
    must(registryFor(flavor).entities.get('routes'), 'routes');

  it('has an expression where the router takes expressions', () => {
    const shown = toKongSchema(route('expressions'));
    expect(withoutFreeText(shown)).toEqual(golden('routes-expressions', 'routes'));
  });

  it.each([
    ['traditional_compatible', 'routes-traditional-compatible'],
    ['expressions', 'routes-expressions/subschemas'],
  ] as const)('depends on its protocols under %s as in Kong', (flavor, kind) => {
    const subschemas = route(flavor).subschemas ?? {};
    const shown = Object.entries(subschemas).map(([name, of]) => [
      name,
      withoutFreeText(subschemaToKongSchema(of)),
    ]);
    const expected = goldenNames(kind).map((name) => [name, golden(kind, name)]);
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(expected));
  });
});
