import { describe, expect, it } from 'vitest';
import { REGISTRY } from '../registry.ts';
import type { JsonObject } from './field.ts';
import type { AnyEntity } from './infer.ts';
import { OTHER_ID, accepted, definition, deps, inserted } from './process.cases.ts';
import {
  processInsert,
  processUpdate,
  processUpsert,
  secondsLeft,
  showEntity,
  ttlError,
  violationMessage,
  type Processed,
} from './process.ts';

function refusedInsert(name: string, input: JsonObject): string | null {
  const processed = processInsert(definition(name), input, REGISTRY, deps());
  return processed.ok ? null : violationMessage(processed.violations);
}

const KEYS = definition('keyauth_credentials');

function patch(input: JsonObject, current: AnyEntity): Processed {
  return processUpdate(KEYS, input, current, REGISTRY, deps());
}

function put(input: JsonObject, current: AnyEntity): Processed {
  return processUpsert(KEYS, input, current, REGISTRY, deps());
}

describe('a time to live', () => {
  const consumer = { id: OTHER_ID };

  it('is stored as the moment it ends, and shown as seconds left', () => {
    const entity = inserted('keyauth_credentials', { consumer, ttl: 10 }, 1000.5);

    expect(entity['expires_at']).toBe(1010.5);
    expect(entity).not.toHaveProperty('ttl');
    const shown = showEntity(definition('keyauth_credentials'), entity, REGISTRY, 1000.5);
    expect(shown['ttl']).toBe(9);
    expect(shown).not.toHaveProperty('expires_at');
  });

  it.each([
    [1010.5, 1000.5, 9],
    [1010.5, 1000.6, 9],
    [1010.5, 1001.6, 8],
    [1010.5, 1010.4, 0],
    [1010.5, 2000, 0],
    [null, 5, null],
  ])('ending at %s has at %s still %s', (end, now, left) => {
    expect(secondsLeft(end, now)).toBe(left);
  });

  it('of 0, or none, means for ever', () => {
    expect(inserted('keyauth_credentials', { consumer, ttl: 0 })['expires_at']).toBeNull();
    expect(inserted('keyauth_credentials', { consumer })['expires_at']).toBeNull();
  });

  it('stays on PATCH and goes on PUT when the body does not speak of it', () => {
    const current = inserted('keyauth_credentials', { consumer, ttl: 10 }, 1000);

    expect(accepted(patch({}, current))['expires_at']).toBe(1010);
    expect(accepted(patch({ ttl: 0 }, current))['expires_at']).toBeNull();
    expect(accepted(put({ consumer }, current))['expires_at']).toBeNull();
  });

  it.each([-1, 1.5, 100_000_001, '5', true, {}])('is not %j', (ttl) => {
    expect(ttlError(ttl)).toBe('must be an integer between 0 and 100000000');
    expect(refusedInsert('keyauth_credentials', { consumer, ttl })).toBe(
      'schema violation (ttl: must be an integer between 0 and 100000000)',
    );
  });

  it('is unknown to entities that have none, and expires_at to every client', () => {
    expect(refusedInsert('consumers', { username: 'a', ttl: 5 })).toBe(
      'schema violation (ttl: unknown field)',
    );
    expect(refusedInsert('keyauth_credentials', { consumer, expires_at: 5 })).toBe(
      'schema violation (expires_at: unknown field)',
    );
  });
});
