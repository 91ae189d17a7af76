/** Routes: whether a data plane can match by what one says. */
import type { EntityRules } from './rules.ts';

/** Of what an HTTP router looks at; `sources` and `destinations` are for streams. */
const HTTP: ReadonlySet<unknown> = new Set(['http', 'https', 'grpc', 'grpcs']);

export const routeRules: EntityRules = {
  check: (entity, { allowUnsupported }) => {
    if (allowUnsupported) return null;
    const { protocols } = entity;
    const isHttp = Array.isArray(protocols) && HTTP.has(protocols[0]);
    const unsupported = isHttp ? ['expression', 'sources', 'destinations'] : ['expression'];
    const name = unsupported.find((field) => isSet(entity[field]));
    if (name === undefined) return null;
    return {
      [name]:
        'no data plane can match by it yet; HEADGATE_ALLOW_UNSUPPORTED_PLUGINS=on stores it, and stops updates',
    };
  },
};

function isSet(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : (value ?? null) !== null;
}
