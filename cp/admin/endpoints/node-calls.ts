/** What data planes are asked to do: one of them, or all of a group, wherever they are connected. */
import { isUuid } from '#shared/schema/attributes.ts';
import type { Fields, JsonObject } from '#shared/schema/field.ts';
import { defineFields, type RecordOf } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { DOWN_METHODS, type DownMethods, type ParamsOf } from '#shared/wire/rpc-methods.ts';
import type { Addressee } from '../../nodes/node-calls.ts';
import { readArguments } from '../arguments.ts';
import type { AdminContext, AdminHandler, AdminRequest, Endpoint } from '../context.ts';
import { AdminError, notFound, schemaViolation } from '../errors.ts';

const { seconds } = DOWN_METHODS.log_level.params;

export const LOG_LEVEL_REQUEST = defineFields({
  level: { ...DOWN_METHODS.log_level.params.level, description: 'What to log from now on.' },
  seconds: { ...seconds, default: 60, description: 'Until it is as it was; 0: until a restart.' },
});

export const DRAIN_REQUEST = defineFields({
  draining: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether to answer "not ready", so that no new connections come.',
  },
  seconds: {
    ...seconds,
    default: 0,
    description: 'Until it is over; 0: until told, or a restart.',
  },
});

export const PURGE_REQUEST = defineFields({
  caches: {
    ...DOWN_METHODS.cache_purge.params.caches,
    default: [],
    description: 'Names of caches, such as `dns`; none: all that a data plane has.',
  },
});

export function nodeCallEndpoints(): Endpoint[] {
  return [
    ...both('log-level', handler('log_level', LOG_LEVEL_REQUEST)),
    ...both('drain', handler('drain', DRAIN_REQUEST)),
    ...both('purge', handler('cache_purge', PURGE_REQUEST)),
  ];
}

/** The same for one data plane, and for all of a group. */
function both(name: string, post: AdminHandler): Endpoint[] {
  const methods = { POST: post };
  const area = 'cluster' as const;
  return [
    {
      path: `/clustering/data-planes/:0/${name}`,
      area,
      parameters: ['clustering_data_planes'],
      methods,
    },
    { path: `/clustering/groups/:0/${name}`, area, parameters: ['groups'], methods },
  ];
}

function handler<M extends keyof DownMethods, R extends Fields>(
  method: M,
  fields: R & (RecordOf<R> extends ParamsOf<DownMethods[M]> ? unknown : never),
): AdminHandler {
  return async (context, request) => {
    const fieldOf = (name: string) => (Object.hasOwn(fields, name) ? (fields[name] ?? null) : null);
    const parsed = parseRecord(fields, await readArguments(request.raw, context.bodyMax, fieldOf));
    if (!parsed.ok) throw schemaViolation(parsed.violations);
    const to = await addresseeOf(context, request);
    // The parameter's type demands that the fields are those of the method.
    const params = parsed.value as unknown as ParamsOf<DownMethods[M]>;
    const answer = await context.calls.call(to, method, params);
    if (answer === null) throw new AdminError(503, { message: 'Too many calls are under way' });
    const { asked, done, unreached, nodes, failed } = answer;
    return { status: 200, body: { method, asked, done, unreached, nodes, failed } };
  };
}

/** @throws AdminError 404; 409 for a data plane that is not connected */
async function addresseeOf(context: AdminContext, request: AdminRequest): Promise<Addressee> {
  const name = request.params[0] ?? '';
  if (new URL(request.raw.url).pathname.includes('/clustering/groups/')) {
    const { rows } = await context.store.db.query<{ id: string }>(
      'SELECT id FROM groups WHERE name = $1 OR id::text = $1 ORDER BY (name = $1) DESC LIMIT 1',
      [name],
    );
    const [group] = rows;
    if (group === undefined) throw notFound();
    return { group: group.id };
  }
  const id = name.toLowerCase();
  const [node] = isUuid(id) ? await context.nodes.list({ size: 1, after: null, id }) : [];
  if (node === undefined) throw notFound();
  if (node['connected'] !== true) {
    const body: JsonObject = { message: 'The data plane is not connected' };
    throw new AdminError(409, body);
  }
  return { node: id };
}
