/**
 * Targets, where Kong deviates: they exist only under their upstream, a path may name them by their
 * address, and PUT changes an existing one instead of creating.
 */
import { must } from '#shared/base/assert.ts';
import { normalizeTarget } from '#shared/entities/target.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { foreignId } from '../../store/sql.ts';
import type { Page } from '../../store/store.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { Crud, type Parent } from '../crud.ts';
import { notFound } from '../errors.ts';
import { numberOffset, pageSize } from '../pagination.ts';
import { find, keyOf } from '../lookup.ts';
import { findParent } from '../routes.ts';

const PAGE_SIZE = 1000;

type TargetPage = JsonObject & { readonly data: readonly JsonObject[] };

export function targetEndpoints(): Endpoint[] {
  return [
    {
      path: '/upstreams/:0/targets',
      parameters: ['upstreams'],
      methods: {
        GET: newestFirst,
        POST: async (context, request) =>
          new Crud(context, request, definition(context)).create(
            await upstreamOf(context, request),
          ),
      },
    },
    {
      path: '/upstreams/:0/targets/all',
      parameters: ['upstreams'],
      methods: { GET: all },
    },
    {
      path: '/upstreams/:0/targets/:1',
      parameters: ['upstreams', 'targets'],
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

/** @throws AdminError 404 */
export async function upstreamEntity(
  context: AdminContext,
  request: AdminRequest,
): Promise<AnyEntity> {
  const upstreams = must(context.registry.entities.get('upstreams'), 'upstreams are defined');
  const key = keyOf(upstreams, request.params[0] ?? '');
  const found = await find(context.store, upstreams, request.workspace, key);
  if (found === null) throw notFound();
  return found;
}

/** By id or by address. @throws AdminError 404, also when it is another upstream's */
export async function targetEntity(
  context: AdminContext,
  request: AdminRequest,
  upstream: AnyEntity,
): Promise<AnyEntity> {
  const parent = { field: 'upstream', id: upstream.id };
  const key = keyOf(definition(context), request.params[1] ?? '');
  const found = await find(context.store, definition(context), request.workspace, key, parent);
  if (found === null || foreignId(found['upstream']) !== upstream.id) throw notFound();
  return found;
}

/** @throws AdminError 404 */
export function upstreamOf(context: AdminContext, request: AdminRequest): Promise<Parent> {
  const parent = must(context.registry.entities.get('upstreams'), 'upstreams are defined');
  return findParent(context, request, parent, 'upstream');
}

async function all(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const parent = await upstreamOf(context, request);
  return new Crud(context, request, definition(context)).list(path(request, 'targets/all'), parent);
}

async function newestFirst(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  return { status: 200, body: await newestTargets(context, request, 'targets') };
}

/**
 * A page of an upstream's targets in Kong's order, in which an offset is a number of targets.
 *
 * @param last  segment of the path that was asked, for `next`
 */
export async function newestTargets(
  context: AdminContext,
  request: AdminRequest,
  last: 'targets' | 'health',
): Promise<TargetPage> {
  const parent = await upstreamOf(context, request);
  const size = pageSize(request.query.get('size'));
  const start = numberOffset(request.query.get('offset'));
  const targets = (await readAll(context, request, parent)).toSorted(newerFirst);
  const crud = new Crud(context, request, definition(context));
  const data = await crud.showAll(targets.slice(start, start + size));
  if (start + size >= targets.length) return { data, next: null };
  const offset = String(start + size);
  const next = `${request.pathPrefix}${path(request, last)}?offset=${offset}`;
  return { data, next, offset };
}

function path(request: AdminRequest, last: string): string {
  return `/upstreams/${encodeURIComponent(request.params[0] ?? '')}/${last}`;
}

function newerFirst(a: AnyEntity, b: AnyEntity): number {
  const later = Number(b['created_at']) - Number(a['created_at']);
  return later === 0 ? Number(a.id < b.id) - Number(a.id > b.id) : later;
}

/** Finds a target by id or by its address, in any spelling; then does the work by id. */
async function one<T>(
  context: AdminContext,
  request: AdminRequest,
  work: (crud: Crud, id: string, parent: Parent) => Promise<T>,
): Promise<T> {
  const parent = await upstreamOf(context, request);
  const crud = new Crud(context, request, definition(context));
  const segment = request.params[1] ?? '';
  if (isUuid(segment)) return work(crud, segment, parent);
  const address = normalizeTarget(segment);
  const targets = await readAll(context, request, parent);
  const found = targets.find((target) => target['target'] === address);
  if (found === undefined) throw notFound();
  return work(crud, found.id, parent);
}

async function readAll(
  context: AdminContext,
  request: AdminRequest,
  parent: Parent,
): Promise<AnyEntity[]> {
  const targets: AnyEntity[] = [];
  let after: string | null = null;
  do {
    const page: Page = await context.store.list(definition(context), request.workspace, {
      size: PAGE_SIZE,
      after,
      where: parent,
    });
    targets.push(...page.rows);
    after = page.next;
  } while (after !== null);
  return targets;
}
