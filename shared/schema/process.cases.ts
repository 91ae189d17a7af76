/** What the tests of processing share. */
import { expect } from 'vitest';
import { must } from '../base/assert.ts';
import { REGISTRY } from '../registry.ts';
import type { EntityDefinition, JsonObject } from './field.ts';
import type { AnyEntity } from './infer.ts';
import { processInsert, type ProcessDeps, type Processed } from './process.ts';

export const ID = '11111111-1111-4111-8111-111111111111';
export const OTHER_ID = '22222222-2222-4222-8222-222222222222';

export function deps(nowSeconds = 1_700_000_000.25): ProcessDeps {
  return { nowSeconds, uuid: () => ID, randomText: (length) => 'r'.repeat(length) };
}

export function definition(name: string): EntityDefinition {
  return must(REGISTRY.entities.get(name), name);
}

export function accepted(processed: Processed): AnyEntity {
  expect(processed).toMatchObject({ ok: true });
  return must(processed.ok ? processed.entity : null, 'accepted');
}

export function inserted(name: string, input: JsonObject, nowSeconds?: number): AnyEntity {
  return accepted(processInsert(definition(name), input, REGISTRY, deps(nowSeconds)));
}
