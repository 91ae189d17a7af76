/** Everything that can be configured, in one object. */
import { ENTITIES } from './entities/index.ts';
import { PLUGIN_DEFINITIONS } from './plugins/definitions.ts';
import type { Registry } from './schema/plugin-definition.ts';

export const REGISTRY: Registry = { entities: ENTITIES, plugins: PLUGIN_DEFINITIONS };
