/**
 * The compiled form of a configuration: what the request path reads. Built off to the side, swapped
 * in by one assignment, never changed afterwards. What it shares with the tables before it (prepared
 * plugins, balancers) keeps its counters and its turn.
 */
import type { Balancer } from '../balancer/balancer.ts';
import type { ConfigTree } from '../config/tree.ts';
import type { Service } from '../entities/service.ts';
import type { Upstream } from '../entities/upstream.ts';
import type { RouteEntry, Router } from '../router/router.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { Parts } from './parts.ts';
import type { Certificates } from './certificates.ts';
import type { PluginPlan } from './plugin-plan.ts';
import type { ServiceTls } from './service-tls.ts';
import type { UniqueMap } from './unique-map.ts';

/** An entity that was set aside, and why. */
export interface Quarantined {
  readonly kind: string;
  /** Workspace id. */
  readonly ws: string;
  readonly id: string;
  /** Null without one. */
  readonly name: string | null;
  readonly reason: string;
}

/** An Upstream with its targets: what a service's host name may stand for. */
export interface UpstreamTable {
  readonly id: string;
  /** Workspace id. */
  readonly ws: string;
  readonly upstream: Upstream;
  readonly balancer: Balancer;
}

/** Where a route's requests go. */
export interface ServiceTable {
  readonly service: Service;
  /** `https` where TLS is spoken to the upstream, whatever is spoken in it. */
  readonly scheme: 'http' | 'https';
  /** `2` for gRPC; of no meaning for streams. */
  readonly httpVersion: '1.1' | '2';
  /** Takes connections or datagrams, not requests. */
  readonly isStream: boolean;
  /** Path prefix of the service; `/` when it has none. */
  readonly path: string;
  /** Null: the service's host is a name to connect to, not an Upstream. */
  readonly upstream: UpstreamTable | null;
  /** Null where no TLS is spoken. */
  readonly tls: ServiceTls | null;
}

/** A route as one version of the configuration has it; made by `bindRoute`. */
export interface RouteTable extends RouteEntry {
  /** Null: no service; such requests end with 503 after the plugins have run. */
  readonly target: ServiceTable | null;
  readonly plan: PluginPlan;
  /** Set: the route is closed and answers 503 with this text. */
  readonly fault: string | null;
  /** Accepts https and not http. */
  readonly isHttpsOnly: boolean;
  readonly isGrpc: boolean;
  /** Accepts grpcs and not grpc. */
  readonly isGrpcsOnly: boolean;
  /** v0 unless the router's flavor is `traditional`. */
  readonly pathHandling: 'v0' | 'v1';
  /** What of the route every request asks for. */
  readonly stripsPath: boolean;
  readonly preservesHost: boolean;
  readonly buffersRequest: boolean;
  readonly buffersResponse: boolean;
}

export interface WorkspaceTable {
  readonly id: string;
  /** Number of records in it. */
  readonly records: number;
  /** Global plugins only: for exits before a route's own plugins apply. */
  readonly globalPlan: PluginPlan;
  readonly index: EntityIndex;
  /** Another object whenever something changed that a route of the workspace is bound to. */
  readonly binding: object;
}

/** Entities by one unique field. */
export interface FieldIndex {
  /** The values are keyed hashes (hex), see `Tables.hashSecret`. */
  readonly isSecret: boolean;
  readonly byValue: UniqueMap<AnyEntity>;
}

/** Kind → unique field → index. */
export type EntityIndex = ReadonlyMap<string, ReadonlyMap<string, FieldIndex>>;

export interface Tables {
  readonly epoch: number;
  readonly revision: number;
  /** Hash of the manifest's text. */
  readonly hash: string;
  /** Answers with entries for `bindRoute`. */
  readonly router: Router;
  readonly workspaces: ReadonlyMap<string, WorkspaceTable>;
  /** Whose global plugins apply when no route matched; null when no workspace stands out. */
  readonly fallback: WorkspaceTable | null;
  /** Whose certificate a client is shown. */
  readonly certificates: Certificates;
  /** The keyed hash under which a secret is indexed; null without the group's secret. */
  readonly hashSecret: HashSecret | null;
  readonly quarantined: readonly Quarantined[];
  /** The configuration that the tables are of: the next ones take in the difference to it. */
  readonly tree: ConfigTree;
  readonly parts: Parts;
}

export type HashSecret = (kind: string, ws: string, value: string) => string;

/** Names an entity within the group: ids and names are unique in a workspace only. */
export function scopedKey(ws: string, idOrName: string): string {
  return `${ws}\n${idOrName}`;
}
