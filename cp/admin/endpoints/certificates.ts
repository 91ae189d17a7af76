/**
 * Certificates, where Kong deviates: a path may name one by any of its SNIs, and its SNIs are written
 * with it as a list of names.
 */
import { must } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { foreignId } from '../../store/sql.ts';
import type { AdminContext, AdminHandler, AdminRequest, Endpoint } from '../context.ts';
import { Crud } from '../crud.ts';
import { AdminError, entityNotFound } from '../errors.ts';
import { keyOf } from '../lookup.ts';
import { findParent } from '../routes.ts';

export function certificateEndpoints(): Endpoint[] {
  return [
    {
      path: '/certificates/:0',
      parameters: ['certificates'],
      methods: {
        GET: async (context, request) => {
          const id = await certificateId(context, request);
          return crudOf(context, request).get(id, null, () => entityNotFound({ id }));
        },
        PUT: upsert,
        PATCH: async (context, request) =>
          crudOf(context, request).update(await certificateId(context, request), null, (input) =>
            withSnis(input, listOf(input['snis'])),
          ),
        DELETE: async (context, request) =>
          crudOf(context, request).remove(await certificateId(context, request), null),
      },
    },
    {
      path: '/certificates/:0/snis',
      parameters: ['certificates'],
      methods: {
        GET: nested((crud, parent, request) => {
          const key = encodeURIComponent(request.params[0] ?? '');
          return crud.list(`/certificates/${key}/snis`, parent);
        }),
        POST: nested((crud, parent) => crud.create(parent)),
      },
    },
    {
      path: '/certificates/:0/snis/:1',
      parameters: ['certificates', 'snis'],
      methods: {
        GET: nested((crud, parent, { params }) => crud.get(params[1] ?? '', parent)),
        PUT: nested((crud, parent, { params }) => crud.upsert(params[1] ?? '', parent)),
        PATCH: nested((crud, parent, { params }) => crud.update(params[1] ?? '', parent)),
        DELETE: nested((crud, parent, { params }) => crud.remove(params[1] ?? '', parent)),
      },
    },
  ];
}

/** PUT by an unknown name makes a certificate; the name in the path becomes one of its SNIs. */
const upsert: AdminHandler = async (context, request) => {
  const segment = request.params[0] ?? '';
  const id = (await idOf(context, request)) ?? context.processDeps().uuid();
  return crudOf(context, request).upsert(id, null, (input) => {
    const list = listOf(input['snis']);
    if (isUuid(segment)) return withSnis(input, list);
    if (list !== undefined && list !== null && !Array.isArray(list)) return input;
    const names: readonly JsonValue[] = list ?? [];
    return withSnis(input, names.includes(segment) ? names : [...names, segment]);
  });
};

/** Kong takes a single name in place of a list of one. */
function listOf(snis: JsonValue | undefined): JsonValue | undefined {
  return typeof snis === 'string' ? [snis] : snis;
}

function withSnis(input: JsonObject, snis: JsonValue | undefined): JsonObject {
  return snis === undefined ? input : { ...input, snis };
}

type Nested = (
  crud: Crud,
  parent: Awaited<ReturnType<typeof findParent>>,
  request: AdminRequest,
) => ReturnType<AdminHandler>;

function nested(work: Nested): AdminHandler {
  return async (context, request) => {
    const id = await certificateId(context, request);
    const certificates = definition(context, 'certificates');
    const above = { ...request, params: [id] };
    const parent = await findParent(context, above, certificates, 'certificate');
    return work(new Crud(context, request, definition(context, 'snis')), parent, request);
  };
}

async function certificateId(context: AdminContext, request: AdminRequest): Promise<string> {
  const id = await idOf(context, request);
  if (id === null) throw new AdminError(404, { message: 'SNI not found' });
  return id;
}

/** Null when the path names an SNI that is not there. */
async function idOf(context: AdminContext, request: AdminRequest): Promise<string | null> {
  const segment = request.params[0] ?? '';
  if (isUuid(segment)) return segment.toLowerCase();
  const snis = definition(context, 'snis');
  keyOf(snis, segment);
  const found = await context.store.getBy(snis, request.workspace, 'name', segment);
  return foreignId(found?.['certificate']);
}

function crudOf(context: AdminContext, request: AdminRequest): Crud {
  return new Crud(context, request, definition(context, 'certificates'));
}

function definition(context: AdminContext, name: string): EntityDefinition {
  return must(context.registry.entities.get(name), name);
}
