/** `/schemas/*`: the definitions in Kong's JSON form, for clients that fill in defaults. */
import { pluginToKongSchema, toKongSchema } from '#shared/schema/to-kong-schema.ts';
import type { Endpoint } from '../context.ts';
import { AdminError } from '../errors.ts';

export function schemaEndpoints(): Endpoint[] {
  return [
    {
      path: '/schemas/:0',
      methods: {
        GET: ({ registry }, { params: [name = ''] }) => {
          const definition = registry.entities.get(name);
          if (!definition) throw new AdminError(404, { message: `No entity named '${name}'` });
          return { status: 200, body: toKongSchema(definition) };
        },
      },
    },
    {
      path: '/schemas/plugins/:0',
      methods: {
        GET: ({ registry }, { params: [name = ''] }) => {
          const definition = registry.plugins.get(name);
          if (!definition) throw new AdminError(404, { message: `No plugin named '${name}'` });
          return { status: 200, body: pluginToKongSchema(definition) };
        },
      },
    },
  ];
}
