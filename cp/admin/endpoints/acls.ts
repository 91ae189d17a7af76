/** Groups of a consumer, where Kong deviates: a path may name one by its group. */
import { randomUUID } from 'node:crypto';
import { must } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { Crud, type Parent } from '../crud.ts';
import { AdminError } from '../errors.ts';
import { findParent } from '../routes.ts';

export function aclEndpoints(): Endpoint[] {
  return [
    {
      path: '/consumers/:0/acls/:1',
      parameters: ['consumers', 'acls'],
      methods: {
        GET: (context, request) => one(context, request, (crud, id, owner) => crud.get(id, owner)),
        PUT: upsert,
        PATCH: (context, request) =>
          one(context, request, (crud, id, owner) => crud.update(id, owner)),
        DELETE: (context, request) =>
          one(context, request, (crud, id, owner) => crud.remove(id, owner)),
      },
    },
  ];
}

/** PUT by a group that the consumer is not in puts it there. */
async function upsert(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const owner = await consumer(context, request);
  const segment = request.params[1] ?? '';
  const id = (await idOf(context, request, owner)) ?? context.processDeps().uuid();
  return new Crud(context, request, definition(context, 'acls')).upsert(id, owner, (input) =>
    isUuid(segment) || (input['group'] ?? null) !== null ? input : { ...input, group: segment },
  );
}

async function one(
  context: AdminContext,
  request: AdminRequest,
  work: (crud: Crud, id: string, owner: Parent) => Promise<AdminResponse>,
): Promise<AdminResponse> {
  const owner = await consumer(context, request);
  const id = await idOf(context, request, owner);
  if (id !== null) return work(new Crud(context, request, definition(context, 'acls')), id, owner);
  // Kong answers so where its proxy's error responses come from.
  const requestId = randomUUID().replaceAll('-', '');
  throw new AdminError(404, { message: 'Not found', request_id: requestId });
}

function consumer(context: AdminContext, request: AdminRequest): Promise<Parent> {
  return findParent(context, request, definition(context, 'consumers'), 'consumer');
}

async function idOf(
  context: AdminContext,
  request: AdminRequest,
  owner: Parent,
): Promise<string | null> {
  const segment = request.params[1] ?? '';
  if (isUuid(segment)) return segment;
  const key = { consumer: { id: owner.id }, group: segment };
  const found = await context.store.getByKey(definition(context, 'acls'), request.workspace, key);
  return found?.id ?? null;
}

function definition(context: AdminContext, name: string): EntityDefinition {
  return must(context.registry.entities.get(name), name);
}
