/**
 * Routes where the router takes expressions (`HEADGATE_ROUTER_FLAVOR=expressions`): what a route
 * matches may be said in Kong's expression language instead of in lists. It is read when it is written
 * (`expression.ts`), by the parser that the router has.
 */
import { defineEntity } from '../schema/infer.ts';
import type { EntityCheck, Fields, Subschema } from '../schema/field.ts';
import { grpcRoute, httpRoute, streamRoute } from './route-protocols.ts';
import { route } from './route.ts';

const PRIORITY_MAX = 2 ** 46 - 1;

// A route's addresses count in every protocol here.
const http = withExpression(httpRoute, ['sources', 'destinations']);
const stream = withExpression(streamRoute, []);
const grpc = withExpression(grpcRoute, ['sources', 'destinations']);

export const expressionsRoute = defineEntity({
  ...route,
  subschemas: {
    http,
    https: http,
    tcp: stream,
    tls: stream,
    udp: stream,
    tls_passthrough: stream,
    grpc,
    grpcs: grpc,
  },
  fields: {
    ...route.fields,
    expression: {
      type: 'string',
      description: 'What the route matches, in the expression language.',
    },
    priority: {
      type: 'integer',
      required: true,
      default: 0,
      between: [0, PRIORITY_MAX],
      description: 'Among routes with an expression, the greatest wins.',
    },
  },
});

/** One more thing that a route may match by, in each list of which it must have one. */
function withExpression(subschema: Subschema, allowed: readonly string[]): Subschema {
  const fields: Fields = Object.fromEntries(
    Object.entries(subschema.fields).filter(([name]) => !allowed.includes(name)),
  );
  return {
    ...subschema,
    fields,
    entity_checks: (subschema.entity_checks ?? []).map((check): EntityCheck => {
      if (!('conditional_at_least_one_of' in check)) return check;
      const of = check.conditional_at_least_one_of;
      const or = of.else_then_at_least_one_of;
      return {
        conditional_at_least_one_of: {
          ...of,
          then_at_least_one_of: [...of.then_at_least_one_of, 'expression'],
          ...(or === undefined ? {} : { else_then_at_least_one_of: [...or, 'expression'] }),
        },
      };
    }),
  };
}
