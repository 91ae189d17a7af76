/**
 * What `GET /schemas/…` answers, against Kong Gateway 3.9's own answers in `entities/` and
 * `plugins/`. Free text (descriptions, messages) is left out of them: it is not part of the contract.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonValue } from '#shared/schema/field.ts';
import { pluginToKongSchema, toKongSchema } from '#shared/schema/to-kong-schema.ts';

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

function golden(kind: 'entities' | 'plugins', name: string): unknown {
  const text = readFileSync(new URL(`${kind}/${name}.json`, import.meta.url), 'utf8');
  return JSON.parse(text, (_, value: unknown) => (value === RANDOM_DEFAULT ? undefined : value));
}

function goldenNames(kind: 'entities' | 'plugins'): string[] {
  return readdirSync(new URL(`${kind}/`, import.meta.url)).map((file) => file.slice(0, -5));
}

describe('GET /schemas/{entity}', () => {
  it.each([...REGISTRY.entities.keys()])('shows %s as Kong does', (name) => {
    const definition = REGISTRY.entities.get(name);
    const shown = definition === undefined ? null : toKongSchema(definition);

    expect(withoutFreeText(shown)).toEqual(golden('entities', name));
  });

  it('has a golden file for every entity and no other', () => {
    expect(goldenNames('entities').toSorted()).toEqual([...REGISTRY.entities.keys()].toSorted());
  });

  it('shows no function and no attribute of our own', () => {
    const text = JSON.stringify(
      [...REGISTRY.entities.values()]
        .map((definition) => toKongSchema(definition))
        .concat([...REGISTRY.plugins.values()].map((plugin) => pluginToKongSchema(plugin))),
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
    const shown = definition === undefined ? null : pluginToKongSchema(definition);

    expect(withoutFreeText(shown)).toEqual(golden('plugins', name));
  });

  it('has a golden file for every plugin and no other', () => {
    expect(goldenNames('plugins').toSorted()).toEqual([...REGISTRY.plugins.keys()].toSorted());
  });
});
