/** Secrets of every kind that can be stored, each with a canary in it, and where a dump would show them. */
import { randomUUID } from 'node:crypto';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { EntityDefinition, Field, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { REGISTRY } from '#shared/registry.ts';
import { holdsSecrets, secretKind } from '#shared/schema/secret-leaves.ts';
import { Publisher } from '../changes/publisher.ts';
import { ACTOR, entityOf, silent } from '../store/context.suite.ts';
import type { ControlPlane } from './rotation.suite.ts';

/** No part of it is likely in anything else. */
export const CANARY = 'canary-4711-in-the-mine';

interface Planted {
  /** `kind.field` or `plugins/name`, of each that has a secret. */
  readonly places: string[];
  readonly entities: [EntityDefinition, AnyEntity][];
}

/** Of every kind with secrets one entity, of every plugin with secrets one. Nothing is validated. */
export function plantedEntities(): Planted {
  const planted: Planted = { places: [], entities: [] };
  for (const definition of REGISTRY.entities.values()) {
    if (definition.stored === false || definition.name === 'plugins') continue;
    const values: Record<string, JsonValue> = {};
    for (const [name, field] of Object.entries(definition.fields)) {
      if (field.type === 'record' && field.abstract === true) {
        values[name] = { unknown: CANARY };
      } else if (holdsSecrets(field)) {
        values[name] = plantedIn(field);
      } else continue;
      planted.places.push(`${definition.name}.${name}`);
    }
    if (Object.keys(values).length > 0)
      planted.entities.push([definition, entityOf(definition, values)]);
  }
  const plugins = REGISTRY.entities.get('plugins');
  for (const [name, { fields }] of REGISTRY.plugins) {
    const parts = Object.values(fields.config.fields);
    if (plugins === undefined || !parts.some(holdsSecrets)) continue;
    planted.places.push(`plugins/${name}`);
    planted.entities.push([plugins, entityOf(plugins, { name, config: plantedIn(fields.config) })]);
  }
  return planted;
}

/** A value of the field's shape, a canary wherever it says secret, null elsewhere. */
function plantedIn(field: Field): JsonValue {
  if (secretKind(field) !== null) return `${CANARY} ${randomUUID()}`;
  switch (field.type) {
    case 'record':
      return Object.fromEntries(
        Object.entries(field.fields).map(([name, part]) => [name, plantedIn(part)]),
      );
    case 'array':
    case 'set':
      return holdsSecrets(field) ? [plantedIn(field.elements)] : null;
    case 'map':
      return holdsSecrets(field) ? { name: plantedIn(field.values) } : null;
    default:
      return null;
  }
}

/** Writes them twice, so that history has them too, and publishes them to the default group. */
export async function plant(plane: ControlPlane, { entities }: Planted): Promise<void> {
  const { store } = plane;
  const ws = store.defaultWorkspace();
  for (const [definition, entity] of entities) {
    await store.write(ws, ACTOR, (tx) => tx.insert(definition, ws, entity));
    await store.write(ws, ACTOR, (tx) => tx.update(definition, ws, entity));
  }
  await publishTo(plane);
}

async function publishTo({ store, keyring }: ControlPlane): Promise<void> {
  const publisher = new Publisher({
    store,
    keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 60_000,
  });
  await publisher.flush();
  await publisher.close();
}

/** The canary as a dump may spell it: plain, hex, and base64 at each of its three alignments. */
export function spellings(): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.from(`${' '.repeat(shift)}${CANARY}`).toString('base64');
    // The first and last letters depend on what stands around.
    return text.replace(/=+$/, '').slice(4, -3);
  });
  const hex = Buffer.from(CANARY).toString('hex');
  return [CANARY, hex, hex.toUpperCase(), ...base64];
}
