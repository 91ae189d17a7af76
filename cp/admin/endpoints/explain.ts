/** `/headgate/explain`: what data planes of a group would do with a request, and why. */
import { must } from '#shared/base/assert.ts';
import { explain } from '#shared/proxy/explain.ts';
import {
  EXPLAIN_BYTES_MAX,
  EXPLAIN_REQUEST,
  explainQuery,
  parseExplainRequest,
} from '#shared/proxy/explain-request.ts';
import { PROXY_SETTINGS_DEFAULT } from '#shared/proxy/settings.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { SYSTEM_WORKSPACE } from '../../store/migrations/0001-init.ts';
import type { TablesResult } from '../../explain/group-tables.ts';
import { authorizeWorkspace } from '../access.ts';
import { readArguments } from '../arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError, notFound, schemaViolation } from '../errors.ts';

/** Which configuration is asked. */
export const EXPLAINED = defineFields({
  group: {
    type: 'string',
    required: true,
    default: 'default',
    description: 'Group whose configuration is asked.',
  },
  revision: {
    type: 'integer',
    between: [1, Number.MAX_SAFE_INTEGER],
    description: 'Without it, the newest. Those that data planes can still fetch are kept.',
  },
  runtime: {
    type: 'string',
    required: true,
    default: 'node',
    one_of: ['node', 'edge'],
    description: 'Of the data plane.',
  },
});

/** What data planes are set to is not known here. */
const OPTIONS = { ...PROXY_SETTINGS_DEFAULT, accessLog: null };

/** Body of `POST /headgate/explain`; of GET, the query. */
export const EXPLAIN_BODY = { ...EXPLAINED, ...EXPLAIN_REQUEST };

export function explainEndpoints(): Endpoint[] {
  // Nothing is written; what of the workspaces may be read is looked at below.
  return [{ path: '/headgate/explain', area: 'info', methods: { GET: byQuery, POST: byBody } }];
}

function byQuery(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  return answer(context, request, explainQuery(request.query, ['revision']));
}

async function byBody(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const fieldOf = (name: string) =>
    Object.entries(EXPLAIN_BODY).find(([key]) => key === name)?.[1] ?? null;
  const bytesMax = Math.min(context.bodyMax, EXPLAIN_BYTES_MAX);
  return answer(context, request, await readArguments(request.raw, bytesMax, fieldOf));
}

async function answer(
  context: AdminContext,
  request: AdminRequest,
  input: JsonObject,
): Promise<AdminResponse> {
  const { groupTables, explainPlatform } = context;
  const { group, revision, runtime, ...rest } = input;
  const where = parseRecord(EXPLAINED, withoutUndefined({ group, revision, runtime }));
  if (!where.ok) throw schemaViolation(where.violations);
  const asked = parseExplainRequest(rest);
  if (!asked.ok) throw schemaViolation(asked.violations);
  const head = await groupTables.find(where.value);
  if (head === null) throw notFound();
  await mayRead(context, request, Object.keys(head.manifest.workspaces));
  const built = await groupTables.tables(head, where.value.runtime);
  if (!built.ok) throw failure(built);
  const body = explain(built.tables, asked.value, explainPlatform, OPTIONS);
  return { status: 200, body: { group: where.value.group, runtime: where.value.runtime, ...body } };
}

/** An explanation names routes of any of them. @throws AccessError 403 */
async function mayRead(
  { store, registry }: AdminContext,
  { principal }: AdminRequest,
  workspaces: readonly string[],
): Promise<void> {
  const definition = must(registry.entities.get('workspaces'), 'workspaces are a kind');
  for (const id of workspaces) {
    if (id === SYSTEM_WORKSPACE) continue;
    const found = await store.get(definition, SYSTEM_WORKSPACE, id);
    authorizeWorkspace(principal, String(found?.['name'] ?? id));
  }
}

function failure({ reason, detail }: Extract<TablesResult, { ok: false }>): AdminError {
  switch (reason) {
    case 'busy':
      return new AdminError(503, { message: detail });
    case 'gone':
      return notFound();
    case 'refused':
      return new AdminError(409, { message: `data planes refuse this revision: ${detail}` });
  }
}

function withoutUndefined(
  input: Readonly<Record<string, JsonObject[string] | undefined>>,
): JsonObject {
  const output: Record<string, JsonObject[string]> = {};
  for (const [name, value] of Object.entries(input)) if (value !== undefined) output[name] = value;
  return output;
}
