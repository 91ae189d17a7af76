/**
 * The health of an Upstream's targets, as Kong shows that of one node, for all nodes together: the
 * worst that any of them says. What each says stands beside it, in `nodes`.
 */
import type { JsonObject } from '#shared/schema/field.ts';
import type { UpstreamReport } from '#shared/wire/frames.ts';
import type { NodeReport } from '../nodes/node-health.ts';

type Word = UpstreamReport['health'];
type TargetReport = UpstreamReport['targets'][number];
type Address = TargetReport['addresses'][number];

/** From the worst downward. */
const WORDS: readonly Word[] = ['UNHEALTHY', 'DNS_ERROR', 'HEALTHY', 'HEALTHCHECKS_OFF'];

/** Nodes that are named beside a target. */
export const NODES_SHOWN_MAX = 100;

/** A target's row of `/upstreams/{u}/health`; as it is when no node says anything of it. */
export function withHealth(target: JsonObject, reports: readonly NodeReport[]): JsonObject {
  const name = target['target'];
  const said: { readonly by: NodeReport; readonly target: TargetReport }[] = [];
  for (const by of reports) {
    const found = by.report.targets.find((each) => each.target === name);
    if (found !== undefined) said.push({ by, target: found });
  }
  const [first] = said;
  if (first === undefined) return target;
  const nodes = said.slice(0, NODES_SHOWN_MAX).map(({ by, target: { health } }) => ({
    id: by.node,
    hostname: by.hostname,
    health,
  }));
  const targets = said.map((each) => each.target);
  return { ...target, health: worst(targets), data: dataOf(targets, first.target), nodes };
}

/** `?balancer_health=1` */
export function balancerHealth(id: string, reports: readonly NodeReport[]): JsonObject {
  if (reports.length === 0) return { id };
  const byName = new Map<string, TargetReport[]>();
  for (const { report } of reports) {
    for (const target of report.targets) {
      const known = byName.get(target.target);
      if (known === undefined) byName.set(target.target, [target]);
      else known.push(target);
    }
  }
  const hosts = [...byName.values()].map((targets) => dataOf(targets, targets[0]));
  const weight = { total: 0, available: 0, unavailable: 0 };
  for (const host of hosts) {
    weight.total += host.weight.total;
    weight.available += host.weight.available;
    weight.unavailable += host.weight.unavailable;
  }
  const balancers = reports.map(({ report }) => ({ health: report.balancer }));
  const isHealthy = worst(balancers) === 'HEALTHY';
  return {
    id,
    health: worst(reports.map(({ report }) => report)),
    balancer_health: isHealthy ? 'HEALTHY' : 'UNHEALTHY',
    details: { healthy: isHealthy, weight, hosts },
    nodes: reports.slice(0, NODES_SHOWN_MAX).map(({ node, hostname, report }) => ({
      id: node,
      hostname,
      health: report.health,
      balancer_health: report.balancer,
    })),
  };
}

/** Kong's record of a target. The addresses are those of all nodes together. */
function dataOf(targets: readonly TargetReport[], first: TargetReport | undefined) {
  const byPlace = new Map<string, Address>();
  for (const { addresses } of targets) {
    for (const address of addresses) {
      const place = `${address.ip} ${address.port}`;
      const known = byPlace.get(place) ?? address;
      byPlace.set(place, { ...address, health: worst([known, address]) });
    }
  }
  const addresses = [...byPlace.values()];
  const total = sum(addresses);
  const unavailable = sum(addresses.filter(({ health }) => health === 'UNHEALTHY'));
  const { host, port } = placeOf(first?.target ?? '');
  return {
    host,
    port,
    dns: first?.dns ?? null,
    nodeWeight: first?.weight ?? 0,
    weight: { total, available: total - unavailable, unavailable },
    addresses: addresses.map(({ ip, port: at, weight, health }) => ({
      ip,
      port: at,
      weight,
      health,
    })),
  };
}

function worst(said: readonly { readonly health: Word }[]): Word {
  return WORDS.find((word) => said.some(({ health }) => health === word)) ?? 'HEALTHCHECKS_OFF';
}

function sum(addresses: readonly Address[]): number {
  return addresses.reduce((total, { weight }) => total + weight, 0);
}

/** Of `host:port`, IPv6 in brackets as Kong has it. */
function placeOf(target: string): { readonly host: string; readonly port: number } {
  const colon = target.lastIndexOf(':');
  return { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) };
}
