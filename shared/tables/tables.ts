/**
 * The compiled form of a configuration: what the request path reads. Built off to the side, swapped
 * in by one assignment, never changed afterwards. What it shares with the tables before it (prepared
 * plugins, balancers) keeps its counters and its turn.
 */
import type { Balancer } from '../balancer/balancer.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { Service } from '../entities/service.ts';
import type { Upstream } from '../entities/upstream.ts';
import type { RouteEntry, Router } from '../router/router.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { PluginInstance, PluginPlan } from './plugin-plan.ts';

/** An entity that was set aside, and why. */
export interface Quarantined {
  readonly kind: string;
  readonly id: string;
  readonly reason: string;
}

/** An Upstream with its targets: what a service's host name may stand for. */
export interface UpstreamTable {
  readonly upstream: Upstream;
  readonly balancer: Balancer;
  /** Hashes of the records it was made of: equal means it can be kept. */
  readonly signature: string;
}

/** Where a route's requests go. */
export interface ServiceTable {
  readonly service: Service;
  readonly scheme: 'http' | 'https';
  /** Path prefix of the service; `/` when it has none. */
  readonly path: string;
  /** Null: the service's host is a name to connect to, not an Upstream. */
  readonly upstream: UpstreamTable | null;
}

/** A route, compiled. */
export interface RouteTable extends RouteEntry {
  readonly workspace: WorkspaceTable;
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
}

export interface WorkspaceTable {
  readonly id: string;
  /** Global plugins only: for exits before a route's own plugins apply. */
  readonly globalPlan: PluginPlan;
  readonly index: EntityIndex;
}

/** Entities by one unique field. */
export interface FieldIndex {
  /** The values are keyed hashes (hex), see `Tables.hashSecret`. */
  readonly isSecret: boolean;
  readonly byValue: ReadonlyMap<string, AnyEntity>;
}

/** Kind → unique field → index. */
export type EntityIndex = ReadonlyMap<string, ReadonlyMap<string, FieldIndex>>;

/** The router with what had to be closed for it to be built. */
export interface RouterTable {
  readonly router: Router;
  /** Routes whose matcher does not compile: they answer 503 wherever they might have matched. */
  readonly faults: ReadonlyMap<RouteEntry, string>;
}

export interface Tables {
  readonly epoch: number;
  readonly revision: number;
  /** Hash of the manifest's text. */
  readonly hash: string;
  readonly router: Router;
  /** By the entry that the router was built from, which is what it answers with. */
  readonly routes: ReadonlyMap<RouteEntry, RouteTable>;
  readonly workspaces: ReadonlyMap<string, WorkspaceTable>;
  /** Whose global plugins apply when no route matched; null when no workspace stands out. */
  readonly fallback: WorkspaceTable | null;
  /** By `scopedKey(ws, name)`. */
  readonly upstreams: ReadonlyMap<string, UpstreamTable>;
  /** The keyed hash under which a secret is indexed; null without the group's secret. */
  readonly hashSecret: HashSecret | null;
  readonly quarantined: readonly Quarantined[];
  readonly kept: Kept;
}

export type HashSecret = (kind: string, ws: string, value: string) => string;

/** A workspace's index and what it was made of. */
export interface IndexedRecords {
  readonly records: readonly ConfigRecord[];
  readonly index: EntityIndex;
}

/** What the next build takes over where its record has not changed. By record hash. */
export interface Kept {
  readonly instances: ReadonlyMap<string, PluginInstance>;
  readonly entries: ReadonlyMap<string, RouteEntry>;
  readonly routerTable: RouterTable;
  /** By workspace id. */
  readonly indexes: ReadonlyMap<string, IndexedRecords>;
}

/** Names an entity within the group: ids and names are unique in a workspace only. */
export function scopedKey(ws: string, idOrName: string): string {
  return `${ws}\n${idOrName}`;
}
