/**
 * Targets, where Kong deviates: they exist only under their upstream, a path may name them by their
 * address, and PUT changes an existing one instead of creating.
 */
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AdminContext, AdminRequest, Endpoint } from '../context.ts';
import { Crud, type Parent } from '../crud.ts';
import { notFound } from '../errors.ts';
import { isUuid } from '../pagination.ts';
import { findParent } from '../routes.ts';

const LIST_MAX = 1000;

export function targetEndpoints(): Endpoint[] {
  return [
    {
      path: '/upstreams/:0/targets',
      methods: {
        GET: async (context, request) => list(context, request, 'targets'),
        POST: async (context, request) =>
          new Crud(context, request, definition(context)).create(await upstream(context, request)),
      },
    },
    {
      path: '/upstreams/:0/targets/all',
      methods: { GET: async (context, request) => list(context, request, 'targets/all') },
    },
    {
      path: '/upstreams/:0/targets/:1',
      methods: {
        GET: (context, request) =>
          one(context, request, (crud, id, parent) => crud.get(id, parent)),
        PUT: (context, request) =>
          one(context, request, (crud, id, parent) => crud.update(id, parent)),
        PATCH: (context, request) =>
          one(context, request, (crud, id, parent) => crud.update(id, parent)),
        DELETE: (context, request) =>
          one(context, request, (crud, id, parent) => crud.remove(id, parent)),
      },
    },
  ];
}

function definition(context: AdminContext): EntityDefinition {
  return must(context.registry.entities.get('targets'), 'targets are defined');
}

function upstream(context: AdminContext, request: AdminRequest): Promise<Parent> {
  const parent = must(context.registry.entities.get('upstreams'), 'upstreams are defined');
  return findParent(context, request, parent, 'upstream');
}

async function list(context: AdminContext, request: AdminRequest, name: string) {
  const parent = await upstream(context, request);
  const path = `/upstreams/${request.params[0] ?? ''}/${name}`;
  return new Crud(context, request, definition(context)).list(path, parent);
}

/** Finds a target by id or by its `host:port`, then does the work by id. */
async function one<T>(
  context: AdminContext,
  request: AdminRequest,
  work: (crud: Crud, id: string, parent: Parent) => Promise<T>,
): Promise<T> {
  const parent = await upstream(context, request);
  const crud = new Crud(context, request, definition(context));
  const segment = request.params[1] ?? '';
  if (isUuid(segment)) return work(crud, segment, parent);
  const id = await idByAddress(context, request, parent, segment);
  if (id === null) throw notFound();
  return work(crud, id, parent);
}

async function idByAddress(
  context: AdminContext,
  request: AdminRequest,
  parent: Parent,
  address: string,
): Promise<string | null> {
  let after: string | null = null;
  do {
    const page = await context.store.list(definition(context), request.workspace, {
      size: LIST_MAX,
      after,
      where: parent,
    });
    const found = page.rows.find(
      (row) => row['target'] === address || row['target'] === `${address}:8000`,
    );
    if (found) return found.id;
    after = page.next;
  } while (after !== null);
  return null;
}
