/** `/headgate/receipts/{version}`: which data planes serve a version of a workspace, which do not, and why. */
import { WAIT_S_DEFAULT } from '../../receipts/receipts.ts';
import { receiptJson } from '../../receipts/receipt.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError, notFound } from '../errors.ts';
import { readTimeout, readWait } from '../wait.ts';

export function receiptEndpoints(): Endpoint[] {
  return [
    {
      path: '/headgate/receipts/:0',
      area: 'cluster',
      parameters: ['version'],
      methods: { GET: receipt },
    },
  ];
}

/** Of the nodes that are connected now, and of a version that is no older than what there is. */
async function receipt(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const text = request.params[0] ?? '';
  if (!/^\d{1,15}$/.test(text)) throw notFound();
  const version = Number(text);
  const isWaiting = readWait(request) !== null;
  const seconds = readTimeout(request.query, isWaiting ? WAIT_S_DEFAULT : 0);
  const wanted = new Map([[request.workspace, version]]);
  const found = await context.receipts.wait(wanted, seconds * 1000);
  if (found === null) throw new AdminError(503, { message: 'The database cannot be read' });
  const { workspaceName: workspace } = request;
  return { status: 200, body: { workspace, version, ...receiptJson(found) } };
}
