/** What is made up when it is missing, and deprecated names, inside records. */
import { describe, expect, it } from 'vitest';
import { REGISTRY } from '../registry.ts';
import type { JsonObject } from './field.ts';
import { defineEntity, type AnyEntity } from './infer.ts';
import { accepted, deps, ID } from './process.cases.ts';
import { processInsert, processUpdate, processUpsert, showEntity } from './process.ts';
import { toKongSchema } from './to-kong-schema.ts';

const THING = defineEntity({
  name: 'things',
  workspaceable: true,
  fields: {
    id: { type: 'string', uuid: true, auto: true },
    settings: {
      type: 'record',
      required: true,
      fields: {
        key: { type: 'string', required: true, auto: true },
        secret: { type: 'string', random_default: 5 },
        nested: {
          type: 'record',
          required: true,
          fields: { size: { type: 'integer', default: 1 }, url: { type: 'string' } },
          shorthand_fields: {
            former_size: {
              type: 'integer',
              deprecation: { replaced_with: [{ path: ['size'] }], removal_in_version: '4.0' },
              translate: (size: number | null) => ({ size }),
            },
            link: {
              type: 'string',
              referenceable: true,
              custom_validator: (text: string) => (text === 'bad' ? 'is bad' : null),
              translate: (url: string | null) => ({ url }),
            },
          },
        },
      },
    },
    optional: {
      type: 'record',
      required: false,
      fields: { secret: { type: 'string', random_default: 5 } },
    },
  },
});

function add(input: JsonObject): AnyEntity {
  return accepted(processInsert(THING, input, REGISTRY, deps()));
}

function put(settings: JsonObject, current: AnyEntity): unknown {
  return accepted(processUpsert(THING, { settings }, current, REGISTRY, deps()))['settings'];
}

function patch(settings: JsonObject, current: AnyEntity): unknown {
  return accepted(processUpdate(THING, { settings }, current, REGISTRY, deps()))['settings'];
}

describe('what is made up', () => {
  it('is made up inside records, there or not, but not inside one that is optional', () => {
    const made = { key: 'r'.repeat(32), secret: 'rrrrr', nested: { size: 1, url: null } };

    expect(add({})).toEqual({ id: ID, settings: made, optional: null });
    expect(add({ settings: [], optional: {} })).toEqual({
      id: ID,
      settings: made,
      optional: { secret: 'rrrrr' },
    });
  });

  it('is what was sent, if anything was', () => {
    const settings = { key: 'mine', secret: 'too' };

    expect(add({ settings })['settings']).toMatchObject(settings);
    expect(add({ settings: { key: null, secret: null } })['settings']).toMatchObject({
      key: 'r'.repeat(32),
      secret: 'rrrrr',
    });
  });

  it('in place of a default stays until something else is sent', () => {
    const current = add({ settings: { key: 'old', secret: 'old' } });

    expect(put({}, current)).toMatchObject({ key: 'r'.repeat(32), secret: 'old' });
    expect(put({ secret: 'new' }, current)).toMatchObject({ secret: 'new' });
    expect(patch({ key: 'new' }, current)).toMatchObject({ key: 'new', secret: 'old' });
    expect(patch({ secret: null }, current)).toMatchObject({ key: 'old', secret: 'old' });
  });

  it('does not hide that a value has the wrong type', () => {
    const processed = processInsert(THING, { settings: [1] }, REGISTRY, deps());

    expect(processed).toMatchObject({ violations: { settings: 'expected a record' } });
  });

  it('leaves no trace in the schema that is shown', () => {
    expect(JSON.stringify(toKongSchema(THING))).not.toContain('random_default');
  });
});

describe('shorthands of a record inside a record', () => {
  it('are taken, and shown again when they are deprecated', () => {
    const thing = add({ settings: { nested: { former_size: 7, link: 'a' } } });
    const shown = showEntity(THING, thing, REGISTRY, 1);

    expect(thing['settings']).toMatchObject({ nested: { size: 7, url: 'a' } });
    expect(shown['settings']).toMatchObject({ nested: { size: 7, former_size: 7, url: 'a' } });
  });

  it('are checked by all their attributes', () => {
    const insert = (link: string): unknown =>
      processInsert(THING, { settings: { nested: { link } } }, REGISTRY, deps());

    expect(insert('bad')).toMatchObject({ violations: { link: 'is bad' } });
    expect(insert('')).toMatchObject({ violations: { link: 'length must be at least 1' } });
    expect(insert('{vault://env/x}')).toMatchObject({ ok: true });
  });
});
