/** `/config`: a workspace as a declarative configuration, in and out. */
import type { JsonObject } from '#shared/schema/field.ts';
import { exportText } from '../../declarative/export.ts';
import {
  applySteps,
  locatedFailure,
  planImport,
  readTable,
  refuseGreatLoss,
} from '../../declarative/import.ts';
import { countsOf, type Loaded, reportOf, summaryOf } from '../../declarative/report.ts';
import { readConfiguration } from '../../declarative/request.ts';
import { Slots } from '../../slots.ts';
import { isAuthorized } from '../access.ts';
import { commit, readSwitch } from '../commit.ts';
import type {
  AdminContext,
  AdminHandler,
  AdminRequest,
  AdminResponse,
  Endpoint,
} from '../context.ts';
import { refuseConditions } from '../entity-tag.ts';
import { areaOf } from '../routes.ts';
import { showAll } from '../show.ts';
import type { EntityWriter } from '../writer.ts';

/** What a load did: `created=3, updated=0, removed=1`. */
export const CHANGES_HEADER = 'Headgate-Changes';

/** At once, in one control plane: each may hold hundreds of megabytes. */
export const LOADS_MAX = 4;
export const LINE_MAX = 32;
const RETRY_S = 1;

const YAML_TYPE = /\b(application|text)\/(x-)?yaml\b/;

export function configEndpoints(): Endpoint[] {
  const slots = new Slots(LOADS_MAX);
  const load: AdminHandler = async (context, request) => {
    if (slots.waiting >= LINE_MAX) return tooMany();
    // A body is not read before its turn, so those in line take no memory.
    const release = await slots.take();
    try {
      return await post(context, request);
    } finally {
      release();
    }
  };
  return [{ path: '/config', methods: { GET: get, POST: load } }];
}

function tooMany(): AdminResponse {
  const message = `${LOADS_MAX} configurations are being loaded and ${LINE_MAX} wait; try again later`;
  return { status: 429, body: { message }, headers: { 'Retry-After': String(RETRY_S) } };
}

async function get(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { principal, workspace, workspaceName } = request;
  const config = await exportText(context, workspace, (definition) => {
    const area = areaOf(definition);
    return isAuthorized(principal, { area, workspace: workspaceName, method: 'GET', params: [] });
  });
  if (!YAML_TYPE.test(request.raw.headers.get('accept') ?? '')) {
    return { status: 200, body: { config } };
  }
  const headers = { 'Content-Type': 'application/yaml; charset=utf-8' };
  return { status: 200, body: config, headers };
}

async function post(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { query, workspaceName } = request;
  refuseConditions(request.raw.headers);
  const isForced = readSwitch(query, 'force');
  const isDryRun = readSwitch(query, 'dry_run');
  const isChecked = query.get('check_hash') === '1';
  const isFlattened = /^(true|1|on|yes)$/i.test(query.get('flatten_errors') ?? '');
  const table = await readConfiguration(request.raw);
  const configuration = await readTable(context, workspaceName, table, isFlattened);
  return commit(context, request, async (writer) => {
    const loaded = await planImport(context, writer, configuration);
    const counts = countsOf(loaded);
    if (!isForced) refuseGreatLoss(counts, context.dropMaxPercent);
    const headers = { [CHANGES_HEADER]: summaryOf(counts) };
    if (isChecked && counts.created + counts.updated + counts.removed === 0) {
      return { status: 304, body: null, headers };
    }
    // Also when it is only tried: the database may know better.
    await applySteps(writer, loaded.steps).catch((error: unknown) => {
      throw locatedFailure(error, loaded);
    });
    if (isDryRun) return { status: 200, body: reportOf(loaded), headers };
    return { status: 201, body: await shown(context, writer, loaded), headers };
  });
}

/** By kind and id, as Kong answers. */
async function shown(
  context: AdminContext,
  writer: EntityWriter,
  { plans }: Loaded,
): Promise<JsonObject> {
  const kinds: [string, JsonObject][] = [];
  for (const { definition, wanted } of plans) {
    if (wanted.length === 0) continue;
    const entities = wanted.map(({ entity }) => entity);
    const rows = await showAll(context, writer.ws, definition, entities, writer);
    const byId = rows.map((row) => [String(row['id']), row] as const);
    kinds.push([definition.name, Object.fromEntries(byId)]);
  }
  return Object.fromEntries(kinds);
}
