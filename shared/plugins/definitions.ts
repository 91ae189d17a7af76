/** All plugins by name, as data (registry 2 of 3); the code stands in `handlers.ts`. */
import { correlationId } from './correlation-id/schema.ts';
import { keyAuth } from './key-auth/schema.ts';
import type { PluginDefinition } from './plugin.ts';
import { rateLimiting } from './rate-limiting/schema.ts';
import { responseTransformer } from './response-transformer/schema.ts';

const DEFINITIONS: readonly PluginDefinition[] = [
  correlationId,
  keyAuth,
  rateLimiting,
  responseTransformer,
];

export const PLUGIN_DEFINITIONS: ReadonlyMap<string, PluginDefinition> = new Map(
  DEFINITIONS.map((definition) => [definition.name, definition]),
);
