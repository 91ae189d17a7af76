/** `/consumers`, which alone can be searched: by `custom_id`. */
import { must } from '#shared/base/assert.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { Crud } from '../crud.ts';
import { AdminError } from '../errors.ts';

const PATH = '/consumers';

export function consumerEndpoints(): Endpoint[] {
  return [
    {
      path: PATH,
      methods: {
        GET: list,
        POST: (context, request) => crudOf(context, request).create(null),
      },
    },
  ];
}

async function list(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const customId = request.query.get('custom_id');
  const crud = crudOf(context, request);
  if (customId === null) return crud.list(PATH, null);
  if (customId === '') {
    throw new AdminError(400, { message: 'custom_id must be an unempty string' });
  }
  const found = await context.store.getBy(
    definition(context),
    request.workspace,
    'custom_id',
    customId,
  );
  const data = await crud.showAll(found === null ? [] : [found]);
  return { status: 200, body: { data, next: null } };
}

function definition(context: AdminContext) {
  return must(context.registry.entities.get('consumers'), 'consumers are defined');
}

function crudOf(context: AdminContext, request: AdminRequest): Crud {
  return new Crud(context, request, definition(context));
}
