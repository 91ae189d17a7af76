/** `/headgate/versions`, `/headgate/diff`, `/headgate/rollback`: the past of a workspace. */
import type { JsonObject } from '#shared/schema/field.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { applySteps, locatedFailure } from '../../declarative/import.ts';
import { countsOf, reportOf, summaryOf } from '../../declarative/report.ts';
import { known, planRollback } from '../../declarative/rollback.ts';
import type { Difference, VersionEntry } from '../../store/store.ts';
import { readFields } from '../arguments.ts';
import { commit, readSwitch } from '../commit.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { refuseConditions } from '../entity-tag.ts';
import { invalidOption, notFound } from '../errors.ts';
import { changeView, differenceView } from '../history-view.ts';
import { numberOffset, pageSize } from '../pagination.ts';
import { CHANGES_HEADER } from './config.ts';

/** Body of `POST /headgate/rollback`. */
export const ROLLBACK_REQUEST = defineFields({
  version: {
    type: 'integer',
    required: true,
    between: [0, Number.MAX_SAFE_INTEGER],
    description: 'The workspace becomes what it was at this version; at 0 it was empty.',
  },
});

export function historyEndpoints(): Endpoint[] {
  return [
    { path: '/headgate/versions', area: 'entities', methods: { GET: versions } },
    {
      path: '/headgate/versions/:0',
      parameters: ['version'],
      area: 'entities',
      methods: { GET: version },
    },
    { path: '/headgate/diff', area: 'entities', methods: { GET: diff } },
    { path: '/headgate/rollback', area: 'entities', methods: { POST: rollback } },
  ];
}

async function versions(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const limit = pageSize(request.query.get('size'));
  const offset = request.query.get('offset');
  const before = offset === null ? null : numberOffset(offset);
  const entries = await context.store.history().versions(request.workspace, { before, limit });
  const last = entries.at(-1);
  const isMore = entries.length === limit && last !== undefined && last.version > 1;
  const next = isMore ? String(last.version) : null;
  return page(request, '/headgate/versions', entries.map(versionView), next);
}

function versionView({ version: number, atMs, actor, source, changes }: VersionEntry): JsonObject {
  return { version: number, at: atMs / 1000, actor, source, changes };
}

async function version(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { workspace, params } = request;
  const number = wholeNumber(params[0] ?? '');
  if (number === null || number === 0) throw notFound();
  const history = context.store.history();
  const [entry] = await history.versions(workspace, { before: number + 1, limit: 1 });
  if (entry?.version !== number) throw notFound();
  const differences = known(await history.diff(workspace, number - 1, number));
  const path = `/headgate/versions/${number}`;
  const answer = pageOf(request, path, differences, (one) => changeView(one, context.registry));
  return { ...answer, body: { ...versionView(entry), ...answer.body } };
}

async function diff(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { workspace, query } = request;
  const to = versionArgument(query, 'to') ?? (await newestOf(context, workspace));
  const from = versionArgument(query, 'from') ?? Math.max(0, to - 1);
  const differences = known(await context.store.history().diff(workspace, from, to));
  const path = `/headgate/diff?from=${from}&to=${to}`;
  const answer = pageOf(request, path, differences, (one) => differenceView(one, context.registry));
  return { ...answer, body: { from, to, ...answer.body } };
}

async function rollback(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const isDryRun = readSwitch(request.query, 'dry_run');
  refuseConditions(request.raw.headers);
  const { version: number } = await readFields(request.raw, context.bodyMax, ROLLBACK_REQUEST);
  return commit(context, request, async (writer) => {
    const loaded = await planRollback(context, writer, number);
    await applySteps(writer, loaded.steps).catch((error: unknown) => {
      throw locatedFailure(error, loaded);
    });
    const counts = countsOf(loaded);
    const body = isDryRun ? reportOf(loaded) : { rolled_back_to: number, counts: { ...counts } };
    return { status: 200, body, headers: { [CHANGES_HEADER]: summaryOf(counts) } };
  });
}

async function newestOf({ store }: AdminContext, ws: string): Promise<number> {
  const [newest] = await store.history().versions(ws, { before: null, limit: 1 });
  return newest?.version ?? 0;
}

/** @throws AdminError 400 */
function versionArgument(query: URLSearchParams, name: string): number | null {
  const text = query.get(name);
  if (text === null) return null;
  const number = wholeNumber(text);
  if (number === null) throw invalidOption(name, 'expected the number of a version');
  return number;
}

function wholeNumber(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function pageOf(
  request: AdminRequest,
  path: string,
  differences: readonly Difference[],
  view: (difference: Difference) => JsonObject,
) {
  const size = pageSize(request.query.get('size'));
  const start = numberOffset(request.query.get('offset'));
  const data = differences.slice(start, start + size).map(view);
  const end = start + size;
  return page(request, path, data, end < differences.length ? String(end) : null);
}

function page(
  { pathPrefix, query }: AdminRequest,
  path: string,
  data: readonly JsonObject[],
  offset: string | null,
): { readonly status: number; readonly body: JsonObject } {
  if (offset === null) return { status: 200, body: { data, next: null } };
  const size = query.get('size');
  const more = new URLSearchParams({ offset, ...(size === null ? {} : { size }) });
  const next = `${pathPrefix}${path}${path.includes('?') ? '&' : '?'}${more}`;
  return { status: 200, body: { data, next, offset } };
}
