/** All plugins' code by name (registry 3 of 3). Data planes only. */
import { correlationIdHandler } from './correlation-id/handler.ts';
import { keyAuthHandler } from './key-auth/handler.ts';
import type { PluginHandler } from './plugin.ts';
import { rateLimitingHandler } from './rate-limiting/handler.ts';
import { responseTransformerHandler } from './response-transformer/handler.ts';

export const HANDLERS: ReadonlyMap<string, PluginHandler<unknown>> = new Map<
  string,
  PluginHandler<unknown>
>([
  ['correlation-id', correlationIdHandler],
  ['key-auth', keyAuthHandler],
  ['rate-limiting', rateLimitingHandler],
  ['response-transformer', responseTransformerHandler],
]);
