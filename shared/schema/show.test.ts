import { describe, expect, it } from 'vitest';
import { REGISTRY } from '../registry.ts';
import type { JsonObject } from './field.ts';
import type { AnyEntity } from './infer.ts';
import { OTHER_ID, definition, inserted } from './process.cases.ts';
import { showEntity, validateEntity } from './process.ts';

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
