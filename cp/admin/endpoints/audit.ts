/** `/headgate/audit`: who wrote what, from where, and who was not let. */
import type { AuditQuery } from '../../access/audit-log.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { invalidOffset, invalidOption } from '../errors.ts';
import { pageSize } from '../pagination.ts';

const PATH = '/headgate/audit';
const FILTERS = ['actor', 'since', 'until', 'workspace', 'path'];

export function auditEndpoints(): Endpoint[] {
  return [{ path: PATH, area: 'admin', methods: { GET: list } }];
}

async function list(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { query } = request;
  const { rows: data, next: before } = await context.audit.read(queryOf(query));
  if (before === null) return { status: 200, body: { data, next: null } };
  const next = new URLSearchParams({ offset: before });
  for (const name of ['size', ...FILTERS]) {
    const value = query.get(name);
    if (value !== null) next.set(name, value);
  }
  const path = `${request.pathPrefix}${PATH}?${next}`;
  return { status: 200, body: { data, next: path, offset: before } };
}

function queryOf(query: URLSearchParams): AuditQuery {
  const text = (name: string): string | null => {
    const value = query.get(name);
    if (value === '') throw invalidOption(name, 'must not be empty');
    // Postgres has no NUL, so nothing can be called so.
    return value?.replaceAll('\0', '\ufffd').toWellFormed() ?? null;
  };
  const time = (name: string): number | null => {
    const value = text(name);
    if (value === null) return null;
    if (!/^\d{1,11}(\.\d{1,6})?$/.test(value)) {
      throw invalidOption(name, 'expected a number of seconds since 1970');
    }
    return Number(value);
  };
  const offset = query.get('offset');
  if (offset !== null && !/^\d{1,18}$/.test(offset)) throw invalidOffset(offset, 'not a number');
  return {
    size: pageSize(query.get('size')),
    before: offset,
    actor: text('actor'),
    since: time('since'),
    until: time('until'),
    workspace: text('workspace'),
    path: text('path'),
  };
}
