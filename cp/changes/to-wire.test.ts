import { describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { lookupHash } from '#shared/config/secrets.ts';
import { nodeCrypto as crypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import { groupKeys, toWire, type GroupKeys } from './to-wire.ts';

const WS = '00000000-0000-4000-8000-000000000001';
const ID = '10000000-0000-4000-8000-000000000001';
const CLUSTER = '30000000-0000-4000-8000-000000000001';
const GROUP = '40000000-0000-4000-8000-000000000001';
const OTHER = '20000000-0000-4000-8000-000000000001';

function keysOf(generation: number): Promise<GroupKeys> {
  const secret = new Uint8Array(32).fill(generation);
  const group = { cluster: CLUSTER, groupId: GROUP, generation };
  return groupKeys(group, { secret, placement: new Uint8Array(32) }, crypto);
}

async function wireAll(kind: string | EntityDefinition, entity: JsonObject, keys = keysOf(1)) {
  const def = typeof kind === 'string' ? must(REGISTRY.entities.get(kind), kind) : kind;
  const place = { ws: WS, keys: await keys, registry: REGISTRY };
  return toWire(def, { id: ID, ...entity }, place, crypto);
}

async function wire(...args: Parameters<typeof wireAll>) {
  const [record] = await wireAll(...args);
  return record;
}

describe('the wire shape', () => {
  it('replaces a look-up secret by its keyed hash, the one that a data plane looks for', async () => {
    const keys = await keysOf(1);
    const record = await wire(
      'keyauth_credentials',
      { key: 'secret', consumer: { id: OTHER } },
      keysOf(1),
    );
    const lookup = { kind: 'keyauth_credentials', ws: WS, value: 'secret' };
    expect(record.body['key']).toBe(lookupHash(keys.pepper, lookup, crypto));
    expect(record.text).not.toContain('secret');
  });

  it('places a credential by a hash that stays when the pepper rotates', async () => {
    const input = { key: 'secret', consumer: { id: OTHER } };
    const before = await wire('keyauth_credentials', input, keysOf(1));
    const after = await wire('keyauth_credentials', input, keysOf(2));
    expect(after.body['key']).not.toBe(before.body['key']);
    expect(after.placement).toBe(before.placement);
    expect(before.placement).not.toBe(before.body['key']);
  });

  it('carries the time of expiry, which is no field of the definition', async () => {
    const input = { key: 'k', consumer: { id: OTHER }, expires_at: 1_800_000_000 };
    expect((await wire('keyauth_credentials', input)).body['expires_at']).toBe(1_800_000_000);
  });

  it.each([
    ['a route', { route: { id: OTHER }, service: { id: ID }, consumer: null }, OTHER],
    ['a service', { route: null, service: { id: OTHER }, consumer: { id: ID } }, OTHER],
    ['a consumer', { route: null, service: null, consumer: { id: OTHER } }, OTHER],
    ['nothing', { route: null, service: null, consumer: null }, 'global'],
  ])('places a plugin of %s with it', async (_name, scope, placement) => {
    expect((await wire('plugins', { name: 'key-auth', ...scope })).placement).toBe(placement);
  });

  it('places everything else by its id', async () => {
    expect((await wire('services', { name: 'a' })).placement).toBe(ID);
  });

  it('lets no secret out that is to be sealed, at any depth', async () => {
    const secret = { type: 'string', secret: 'sealed' } as const;
    const def: EntityDefinition = {
      name: 'things',
      workspaceable: true,
      fields: { id: { type: 'string' }, a: secret, b: { type: 'record', fields: { c: secret } } },
    };
    const record = await wire(def, { a: 'hidden', b: { c: 'hidden' } });
    expect(record.body).toEqual({ id: ID, a: null, b: { c: null } });
  });

  it('lets no secret out of a plugin’s configuration', async () => {
    const config = { minute: 5, redis: { host: 'r', password: 'hidden' }, unheard: 'hidden' };
    const record = await wire('plugins', { name: 'rate-limiting', config });
    expect(record.body['config']).toEqual({
      minute: 5,
      redis: { host: 'r', password: null },
      unheard: null,
    });
    // Of a plugin that is not known here, nothing is known to be no secret.
    expect((await wire('plugins', { name: 'unheard', config })).body['config']).toBeNull();
  });

  it('leaves out what is no field of the definition', async () => {
    const { body } = await wire('services', { name: 'a', password: 'x', ['constructor']: 'y' });
    expect(Object.keys(body).toSorted()).toEqual(['id', 'name']);
  });

  it('refuses a kind that is never sent', async () => {
    const services = must(REGISTRY.entities.get('services'), 'services');
    await expect(wire({ ...services, wire: false }, { name: 'a' })).rejects.toThrow(/never sent/);
  });
});
