/** What the data plane says of its targets' health: in the log, and at the status port. */
import type {
  AddressHealth,
  HealthChange,
  HealthRegistry,
  TargetHealth,
  UpstreamHealth,
} from '#shared/health/registry.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';

/** Addresses that are shown as not available, and those that have metrics. */
export const SHOWN_MAX = 100;
export const METRICS_MAX = 5000;

export function logHealthChange(logger: Logger, change: HealthChange): void {
  const { ws, upstream, peer, isHealthy, cause } = change;
  logger.log(isHealthy ? 'info' : 'warn', 'health of a target changed', {
    workspace: ws,
    upstream,
    target: peer.target,
    address: peer.shown,
    health: isHealthy ? 'HEALTHY' : 'UNHEALTHY',
    cause,
  });
}

/** All Upstreams that are served, one after the other as they are asked for. */
export function* upstreamHealth(
  registry: HealthRegistry,
  nowMs: number,
): Generator<UpstreamHealth> {
  for (const { ws, name } of registry.current()) {
    const snapshot = registry.snapshot(ws, name, nowMs);
    if (snapshot !== null) yield snapshot;
  }
}

/** Part of `/status`. */
export function healthView(upstreams: Iterable<UpstreamHealth>): JsonObject {
  const unavailable: JsonObject[] = [];
  let total = 0;
  for (const { upstream, target, address } of addressesOf(upstreams)) {
    const health = address?.health ?? target.health;
    if (health !== 'UNHEALTHY' && health !== 'DNS_ERROR') continue;
    total += 1;
    if (unavailable.length >= SHOWN_MAX) continue;
    unavailable.push({
      workspace: upstream.ws,
      upstream: upstream.upstream,
      target: target.target,
      address: shown(address),
      health,
    });
  }
  return { unavailable_targets: unavailable, unavailable_targets_total: total };
}

/** Kong's states of `kong_upstream_target_health`. */
const STATES = {
  HEALTHY: 'healthy',
  UNHEALTHY: 'unhealthy',
  HEALTHCHECKS_OFF: 'healthchecks_off',
  DNS_ERROR: 'dns_error',
} as const;

/** Labels and value of each sample: 1 for the state an address is in, and no other. */
export function healthSamples(upstreams: Iterable<UpstreamHealth>): [string, number][] {
  const samples: [string, number][] = [];
  for (const { upstream, target, address } of addressesOf(upstreams)) {
    if (samples.length >= METRICS_MAX) break;
    const labels = {
      workspace: upstream.ws,
      upstream: upstream.upstream,
      target: target.target,
      address: shown(address) ?? '',
      state: STATES[address?.health ?? target.health],
    };
    const text = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
    samples.push([`{${text.join(',')}}`, 1]);
  }
  return samples;
}

/** A target without addresses comes by itself. */
function* addressesOf(upstreams: Iterable<UpstreamHealth>): Generator<{
  readonly upstream: UpstreamHealth;
  readonly target: TargetHealth;
  readonly address: AddressHealth | null;
}> {
  for (const upstream of upstreams) {
    for (const target of upstream.targets) {
      if (target.addresses.length === 0) yield { upstream, target, address: null };
      for (const address of target.addresses) yield { upstream, target, address };
    }
  }
}

function shown(address: AddressHealth | null): string | null {
  if (address === null) return null;
  const { ip, port } = address;
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** Source: Prometheus, text format 0.0.4 */
function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
