/**
 * `/upstreams/{u}/health` and the health of targets by hand. A control plane balances nothing: what is
 * shown is what connected data planes say, in Kong's form, for all of them together; what is said by
 * hand is told to them. Without a data plane targets come without health, as on Kong's control plane.
 *
 * Source: kong/api/routes/upstreams.lua, kong/db/dao/targets.lua
 */
import type { Upstream } from '#shared/entities/upstream.ts';
import { compileChecks } from '#shared/health/checks.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError } from '../errors.ts';
import { balancerHealth, withHealth } from '../health-view.ts';
import { newestTargets, targetEntity, upstreamEntity } from './targets.ts';

export function healthEndpoints(): Endpoint[] {
  const parameters = ['upstreams', 'targets'] as const;
  const target = '/upstreams/:0/targets/:1';
  const put = (isHealthy: boolean): Endpoint['methods'] => ({
    PUT: (context, request) => setHealth(context, request, isHealthy),
  });
  return [
    { path: '/upstreams/:0/health', parameters: ['upstreams'], methods: { GET: health } },
    { path: `${target}/healthy`, parameters: [...parameters], methods: put(true) },
    { path: `${target}/unhealthy`, parameters: [...parameters], methods: put(false) },
    { path: `${target}/:2/healthy`, parameters: [...parameters, 'address'], methods: put(true) },
    { path: `${target}/:2/unhealthy`, parameters: [...parameters, 'address'], methods: put(false) },
  ];
}

async function health(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const node = { node_id: context.information.nodeId };
  const upstream = await upstreamEntity(context, request);
  const reports = await context.nodes.health(request.workspace, String(upstream['name']));
  if (['1', 'true'].includes(request.query.get('balancer_health') ?? '')) {
    return { status: 200, body: { data: balancerHealth(upstream.id, reports), ...node } };
  }
  const page = await newestTargets(context, request, 'health');
  const data = page.data.map((target) => withHealth(target, reports));
  return { status: 200, body: { ...page, data, ...node } };
}

/** Nobody keeps what is said: a data plane that connects later does not hear of it. */
async function setHealth(
  context: AdminContext,
  request: AdminRequest,
  healthy: boolean,
): Promise<AdminResponse> {
  const upstream = await upstreamEntity(context, request);
  const target = await targetEntity(context, request, upstream);
  // An entity of this kind, as the store has checked when it was written.
  if (!compileChecks(upstream as unknown as Upstream).isOn) {
    throw new AdminError(400, { message: 'the upstream has no health checks' });
  }
  const told = await context.nodes.setHealth({
    ws: request.workspace,
    name: String(upstream['name']),
    target: String(target['target']),
    address: request.params[2] ?? null,
    healthy,
  });
  if (told > 0) return { status: 204, body: null };
  throw new AdminError(400, { message: 'no data plane is connected that could be told' });
}
