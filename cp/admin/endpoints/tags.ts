/** `/tags`: which entities carry which tags. They are written with the entities, never here. */
import { must } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import { listTags, type TagPosition } from '../../store/tagged.ts';
import type {
  AdminContext,
  AdminHandler,
  AdminRequest,
  AdminResponse,
  Endpoint,
} from '../context.ts';
import { invalidOffset, schemaViolation } from '../errors.ts';
import { keyOf } from '../lookup.ts';
import { decodeBase64Json, encodeBase64Json, pageSize } from '../pagination.ts';

const refuse: AdminHandler = () => {
  throw schemaViolation({ tags: 'can only be read here; write the entities that carry them' });
};

export function tagEndpoints(): Endpoint[] {
  return [
    {
      path: '/tags',
      methods: { GET: (context, request) => list(context, request, '/tags', null), POST: refuse },
    },
    {
      path: '/tags/:0',
      parameters: ['tags'],
      methods: { GET: listOne, PUT: refuse, PATCH: refuse, DELETE: refuse },
    },
  ];
}

function listOne(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const tag = request.params[0] ?? '';
  // A tag may well look like a UUID.
  if (!isUuid(tag)) keyOf(must(context.registry.entities.get('tags'), 'tags are defined'), tag);
  return list(context, request, `/tags/${encodeURIComponent(tag)}`, tag);
}

async function list(
  context: AdminContext,
  request: AdminRequest,
  path: string,
  tag: string | null,
): Promise<AdminResponse> {
  const { store, registry } = context;
  const size = request.query.get('size');
  const after = request.query.get('offset');
  const page = await listTags(store.db, registry.entities, request.workspace, {
    size: pageSize(size),
    after: after === null ? null : positionOf(after),
    tag,
  });
  if (page.next === null) return { status: 200, body: { data: page.rows, next: null } };
  const { id, kind, index } = page.next;
  const offset = encodeBase64Json([id, index, kind]);
  const query = new URLSearchParams({ offset });
  // As for other collections and nested ones in Kong.
  if (tag === null && size !== null) query.set('size', size);
  const next = `${request.pathPrefix}${path}?${query}`;
  return { status: 200, body: { data: page.rows, next, offset } };
}

function positionOf(offset: string): TagPosition {
  const value = decodeBase64Json(offset);
  const [id, index, kind = ''] = Array.isArray(value) ? (value as unknown[]) : [];
  const isFine =
    typeof id === 'string' &&
    isUuid(id) &&
    typeof index === 'number' &&
    Number.isSafeInteger(index) &&
    typeof kind === 'string' &&
    !kind.includes('\0');
  if (!isFine) throw invalidOffset(offset, 'bad json encoding');
  return { id, kind, index };
}
