/** All kinds of entities, parents before children (registry 1 of 3). */
import { KEY_AUTH_ENTITIES } from '../plugins/key-auth/entities.ts';
import type { EntityDefinition } from '../schema/field.ts';
import { consumer } from './consumer.ts';
import { plugin } from './plugin.ts';
import { route } from './route.ts';
import { service } from './service.ts';
import { target } from './target.ts';
import { upstream } from './upstream.ts';
import { workspace } from './workspace.ts';

const DEFINITIONS: readonly EntityDefinition[] = [
  workspace,
  consumer,
  service,
  route,
  upstream,
  target,
  plugin,
  ...KEY_AUTH_ENTITIES,
];

export const ENTITIES: ReadonlyMap<string, EntityDefinition> = new Map(
  DEFINITIONS.map((definition) => [definition.name, definition]),
);
