/** Everything that can be configured, in one object. */
import { ENTITIES } from './entities/index.ts';
import { expressionsRoute } from './entities/route-expressions.ts';
import { PLUGIN_DEFINITIONS } from './plugins/definitions.ts';
import type { Registry } from './schema/plugin-definition.ts';
import type { RouterFlavor } from './settings/common.ts';

export const REGISTRY: Registry = { entities: ENTITIES, plugins: PLUGIN_DEFINITIONS };

const EXPRESSIONS: Registry = {
  ...REGISTRY,
  entities: new Map([...ENTITIES, [expressionsRoute.name, expressionsRoute]]),
};

/** The flavor decides what a route is. */
export function registryFor(flavor: RouterFlavor): Registry {
  return flavor === 'expressions' ? EXPRESSIONS : REGISTRY;
}
