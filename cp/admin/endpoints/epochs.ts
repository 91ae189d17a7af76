/** `/clustering/epochs` and `/clustering/control-planes`: what the database went through, and who is on it. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { Epoch } from '../../cluster/epochs.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';

export function epochEndpoints(): Endpoint[] {
  return [
    { path: '/clustering/epochs', area: 'cluster', methods: { GET: list, POST: begin } },
    { path: '/clustering/control-planes', area: 'cluster', methods: { GET: controlPlanes } },
  ];
}

async function list({ epochs }: AdminContext): Promise<AdminResponse> {
  const data = (await epochs.list()).map(viewOf);
  return { status: 200, body: { data, next: null } };
}

/** After a restore that nothing shows: what was published since counts for nothing. */
async function begin({ epochs }: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  return { status: 201, body: viewOf(await epochs.begin(request.actor.name)) };
}

async function controlPlanes({ planes }: AdminContext): Promise<AdminResponse> {
  return { status: 200, body: { data: await planes.list(), next: null } };
}

function viewOf({ epoch, reason, detail, at }: Epoch): JsonObject {
  return { epoch, reason, detail, at };
}
