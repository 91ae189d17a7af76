/**
 * `/upstreams/{u}/health`: a control plane balances nothing, so as on Kong's, targets come without
 * health until data planes report theirs.
 */
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { newestTargets, upstreamOf } from './targets.ts';

export function healthEndpoints(): Endpoint[] {
  return [
    {
      path: '/upstreams/:0/health',
      parameters: ['upstreams'],
      methods: { GET: health },
    },
  ];
}

async function health(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const node = { node_id: context.information.nodeId };
  const upstream = await upstreamOf(context, request);
  if (['1', 'true'].includes(request.query.get('balancer_health') ?? '')) {
    return { status: 200, body: { data: { id: upstream.id }, ...node } };
  }
  const page = await newestTargets(context, request, 'health');
  return { status: 200, body: { ...page, ...node } };
}
