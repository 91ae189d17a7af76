import { describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeCrypto as crypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { EntityDefinition, Field, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { processInsert } from '#shared/schema/process.ts';
import { TestConfig } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { EXAMPLES } from '../admin/openapi/examples.ts';
import { groupKeys, isWired, toWire } from './to-wire.ts';

const WS = '00000000-0000-4000-8000-000000000001';
const ID = '10000000-0000-4000-8000-000000000001';
const OTHER = '20000000-0000-4000-8000-000000000001';
const SECRET = new Uint8Array(32);
const KEYS = await groupKeys(
  { cluster: WS, groupId: WS, generation: 1 },
  { secret: SECRET, placement: SECRET },
  crypto,
);

const wired = [...REGISTRY.entities.values()].filter((definition) => isWired(definition));

function wire(definition: EntityDefinition, entity: JsonObject) {
  const place = { ws: WS, keys: KEYS, registry: REGISTRY };
  return toWire(definition, { ...entity, id: ID }, place, crypto);
}

/** A value for a field in which every secret says so. */
function canary(field: Field): JsonValue {
  if (field.secret !== undefined || field.encrypted === true) return 'canary';
  if (field.type !== 'record' || field.abstract === true) return null;
  return Object.fromEntries(
    Object.entries(field.fields).map(([name, part]) => [name, canary(part)]),
  );
}

describe('what data planes are sent', () => {
  it('are the kinds that say how to serve', () => {
    expect(wired.map(({ name }) => name)).toEqual([
      'workspaces',
      'consumers',
      'certificates',
      'services',
      'routes',
      'snis',
      'upstreams',
      'targets',
      'plugins',
      'ca_certificates',
      'vaults',
      'key_sets',
      'keys',
      'acls',
      'basicauth_credentials',
      'hmacauth_credentials',
      'jwt_secrets',
      'keyauth_credentials',
      'oauth2_credentials',
    ]);
  });

  it.each(wired.map((definition) => [definition.name, definition] as const))(
    'holds no secret of %s in the clear',
    async (_, definition) => {
      const entity = Object.fromEntries(
        Object.entries(definition.fields).map(([name, field]) => [name, canary(field)]),
      );
      for (const { text } of await wire(definition, entity)) expect(text).not.toContain('canary');
    },
  );

  it('is served whatever kinds are among it', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const skipped = new Set([
      'workspaces',
      'plugins',
      'services',
      'routes',
      'upstreams',
      'targets',
    ]);
    for (const definition of wired) {
      if (skipped.has(definition.name)) continue;
      const example = must(EXAMPLES[definition.name], definition.name);
      const foreign = Object.entries(definition.fields)
        .filter(([name, field]) => field.type === 'foreign' && Object.hasOwn(example, name))
        .map(([name]) => [name, { id: OTHER }]);
      const input = { ...example, ...Object.fromEntries(foreign) };
      const processed = processInsert(definition, input, REGISTRY, {
        nowSeconds: 1,
        uuid: () => ID,
        randomText: (length) => 'r'.repeat(length),
      });
      const entity = must(processed.ok ? processed.entity : null, definition.name);
      const [{ body }] = await wire(definition, entity);
      config.put(definition.name, { ...body, id: entity.id });
    }
    // The example's key is a reference.
    const reason = 'references to vaults are not resolved yet';
    expect(config.build()).toMatchObject({
      ok: true,
      quarantined: [{ kind: 'certificates', reason }],
    });
    expect((await new TestGateway(config.tables()).get('/a')).status).toBe(200);
  });
});
