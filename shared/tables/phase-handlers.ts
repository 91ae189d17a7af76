/** Handlers for who makes plans and runs nothing: the control plane has the definitions only. */
import type { PluginDefinition, PluginHandler, Runtime } from '../plugins/plugin.ts';

/**
 * For each plugin that the runtime has, a handler with the phases of its definition. Without `prepare`:
 * that a configuration cannot be prepared is not seen.
 */
export function phaseHandlers(
  definitions: ReadonlyMap<string, PluginDefinition>,
  runtime: Runtime,
): ReadonlyMap<string, PluginHandler<unknown>> {
  const handlers = new Map<string, PluginHandler<unknown>>();
  for (const { name, phases, runtimes } of definitions.values()) {
    if (!runtimes.includes(runtime)) continue;
    handlers.set(name, {
      ...(phases.includes('rewrite') && { rewrite: nothing }),
      ...(phases.includes('access') && { access: nothing }),
      ...(phases.includes('preread') && { preread: nothing }),
      ...(phases.includes('header_filter') && { headerFilter: nothing }),
      ...(phases.includes('body_filter') && { bodyFilter: () => null }),
      ...(phases.includes('log') && { log: nothing }),
    });
  }
  return handlers;
}

function nothing(): void {}
