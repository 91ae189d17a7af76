import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { REGISTRY } from '../registry.ts';
import type { EntityDefinition, JsonObject } from './field.ts';
import type { AnyEntity } from './infer.ts';
import {
  processInsert,
  showEntity,
  validateEntity,
  type ProcessDeps,
  type Processed,
} from './process.ts';

const ID = '11111111-1111-4111-8111-111111111111';
const OTHER_ID = '22222222-2222-4222-8222-222222222222';

function deps(nowSeconds = 1_700_000_000.25): ProcessDeps {
  return { nowSeconds, uuid: () => ID, randomText: (length) => 'r'.repeat(length) };
}

function definition(name: string): EntityDefinition {
  return must(REGISTRY.entities.get(name), name);
}

function accepted(processed: Processed): AnyEntity {
  return must(processed.ok ? processed.entity : null, 'accepted');
}

function inserted(name: string, input: JsonObject, nowSeconds?: number): AnyEntity {
  return accepted(processInsert(definition(name), input, REGISTRY, deps(nowSeconds)));
}

describe('a complete entity', () => {
  it('is checked without anything being filled in', () => {
    const { key: _, port: __, ...rest } = inserted('services', { host: 'a' }) as JsonObject;

    expect(validateEntity(definition('services'), { ...rest, retries: -1 }, REGISTRY)).toEqual({
      port: 'required field missing',
      retries: 'value should be between 0 and 32767',
    });
    const { id: ___, ...nameless } = inserted('consumers', { username: 'a' });
    expect(validateEntity(definition('consumers'), nameless, REGISTRY)).toEqual({
      id: 'required field missing',
    });
  });

  it('may carry when it ends, if its kind does', () => {
    const entity = inserted('keyauth_credentials', { consumer: { id: OTHER_ID }, ttl: 5 });
    const def = definition('keyauth_credentials');

    expect(validateEntity(def, entity, REGISTRY)).toBeNull();
    expect(validateEntity(def, { ...entity, expires_at: 'x' }, REGISTRY)).toEqual({
      expires_at: 'expected a number',
    });
  });

  it('of an unknown plugin says only that', () => {
    const plugin = { ...inserted('plugins', { name: 'key-auth' }), name: 'gone' };

    expect(validateEntity(definition('plugins'), plugin, REGISTRY)).toEqual({
      name: "plugin 'gone' not enabled; add it to the 'plugins' configuration property",
    });
  });

  it('is shown with the fields that its definition gained since it was stored', () => {
    const { redis: _, ...config } = inserted('plugins', {
      name: 'rate-limiting',
      config: { minute: 1 },
    })['config'] as JsonObject;
    const stored = { ...inserted('plugins', { name: 'key-auth' }), name: 'rate-limiting', config };
    const { enabled: __, ...older } = stored as AnyEntity;
    const shown = showEntity(definition('plugins'), older as AnyEntity, REGISTRY, 0);

    expect(shown).toMatchObject({
      enabled: true,
      config: { redis: { port: 6379 }, redis_port: 6379 },
    });
  });
});
