/** Plugins: whether a data plane can run one, and whether it can ever run where it is put. */
import { protocolsError } from './plugin-protocols.ts';
import type { EntityRules } from './rules.ts';

export const pluginRules: EntityRules = {
  check: (entity, { registry, allowUnsupported }) => {
    if (allowUnsupported) return null;
    const name = String(entity['name']);
    const plugin = registry.plugins.get(name);
    if (plugin?.runtimes.length === 0) {
      return {
        name: `plugin '${name}' cannot be run by any data plane yet; HEADGATE_ALLOW_UNSUPPORTED_PLUGINS=on stores it all the same (its route, service or consumer then answers 503; a global one stops updates)`,
      };
    }
    // A valid entity holds a configuration of its plugin's own shape.
    const missing = plugin?.unsupported?.(entity['config'] as never) ?? null;
    return missing === null ? null : { config: missing };
  },
  checkRelations: async (entity, { given }, tx, { registry, ws }) => {
    // As in Kong: a default that does not fit says nothing.
    if ((given['protocols'] ?? null) === null) return null;
    const error = await protocolsError(tx, registry.entities, ws, entity);
    return error === null ? null : { protocols: error };
  },
};
