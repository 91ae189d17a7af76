/** A node as `GET /clustering/data-planes` shows it: Kong's fields, then ours. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { methodsIn } from '#shared/wire/rpc-methods.ts';
import type { Revision } from './group-stand.ts';
import { LAGGARDS_MAX } from './group-stand.ts';
import { syncStatusOf, type LiveNode } from './live-node.ts';

/** Kong's hashes are 32 characters long; all zeros: none yet. */
const CONFIG_HASH_LENGTH = 32;

export interface NodeRow {
  readonly id: string;
  readonly group_id: string;
  readonly group_name: string;
  readonly hostname: string;
  readonly version: string;
  readonly runtime: string;
  readonly labels: JsonObject;
  readonly features: readonly string[];
  readonly ip: string | null;
  /** Schema level of what it is sent. */
  readonly level: number;
  /** What is held against its identity; null for nothing. */
  readonly alert: JsonObject | null;
  readonly is_locked: boolean;
  readonly epoch: number;
  readonly revision: number;
  readonly hash: string;
  readonly persisted: boolean | null;
  readonly last_error: string | null;
  readonly quarantined: JsonValue;
  /** Of the certificate that it showed, epoch seconds; null for none. */
  readonly cert_expiry: number | null;
  readonly sync_status: string;
  readonly connected: boolean;
  /** Of the control plane that it is connected to; null when it is not. */
  readonly control_plane: string | null;
  /** Epoch seconds. */
  readonly created_at: number;
  readonly last_seen: number | null;
  readonly desired_epoch: number;
  readonly desired_revision: number;
  /** Whether that revision is to be had at a schema level that the node reads. */
  readonly is_served: boolean;
  readonly forget_seconds: number;
  /** The database's clock, epoch seconds. */
  readonly now: number;
  /** Of the summary of the control plane that it is connected to; null when there is none. */
  readonly lagging: number | null;
  readonly newest: readonly [epoch: number, revision: number, nodes: number] | null;
  readonly laggard: (Revision & { readonly node: string }) | null;
}

/** What is known of a revision. */
export interface Published {
  /** Null when it was swept. */
  readonly hash: string | null;
  /** For how long there has been a newer one; null when there is none. */
  readonly behind_seconds: number | null;
}

export function publishedKey(row: NodeRow, { epoch, revision }: Revision): string {
  return `${row.group_id} ${row.level} ${epoch} ${revision}`;
}

/** What it serves, as well as this process can tell. */
export function actualOf(row: NodeRow, live: LiveNode | null): Revision {
  if (live !== null) return live.position;
  const { connected, lagging, newest, laggard } = row;
  if (!connected || newest === null) return row;
  if (laggard !== null) return laggard;
  // Everyone who is not named serves the newest, unless there are too many to be named.
  if (lagging === null || lagging > LAGGARDS_MAX) return row;
  return { epoch: newest[0], revision: newest[1] };
}

/**
 * @param live  what this control plane holds of it; null when it is not connected here
 * @param self  id of this control plane's process
 * @param published  by `publishedKey`
 */
export function nodeView(
  row: NodeRow,
  live: LiveNode | null,
  self: string,
  published: ReadonlyMap<string, Published>,
): JsonObject {
  const { epoch, revision } = actualOf(row, live);
  const known = published.get(publishedKey(row, { epoch, revision }));
  const isStored = row.epoch === epoch && row.revision === revision;
  const hash = live?.position.hash ?? (isStored ? row.hash : (known?.hash ?? ''));
  // Whoever is connected here is in memory: a row may be a moment older.
  const isElsewhere = row.connected && row.control_plane !== self;
  const isConnected = live !== null || isElsewhere;
  const storedSeen = row.last_seen ?? row.created_at;
  const lastSeen = live === null ? storedSeen : Math.floor(live.lastSeenMs / 1000);
  const expiry = live === null ? row.cert_expiry : live.certificateExpiry;
  const age = isConnected ? 0 : Math.max(0, row.now - lastSeen);
  return {
    id: row.id,
    ip: live?.ip ?? row.ip,
    hostname: live?.about.hostname ?? row.hostname,
    version: live?.about.version ?? row.version,
    last_seen: lastSeen,
    updated_at: live === null ? lastSeen : Math.floor(live.updatedMs / 1000),
    config_hash: hash.slice(0, CONFIG_HASH_LENGTH).padEnd(CONFIG_HASH_LENGTH, '0'),
    sync_status: statusOf(row, live),
    labels: live?.about.labels ?? row.labels,
    cert_details: expiry === null ? null : { expiry_timestamp: expiry },
    rpc_capabilities: methodsIn(live?.about.features ?? row.features),
    ttl: Math.max(0, row.forget_seconds - age),
    connected: isConnected,
    control_plane: live !== null ? self : isElsewhere ? row.control_plane : null,
    group: row.group_name,
    runtime: live?.about.runtime ?? row.runtime,
    epoch,
    desired_epoch: row.desired_epoch,
    desired_revision: row.desired_revision,
    actual_revision: revision,
    lag: {
      // Numbers of another epoch are not of the same history.
      revisions: epoch === row.desired_epoch ? Math.max(0, row.desired_revision - revision) : null,
      seconds: known?.behind_seconds ?? 0,
    },
    persisted: live === null ? row.persisted : live.persisted,
    last_error: live === null ? row.last_error : live.lastError,
    quarantined:
      live === null ? row.quarantined : live.quarantined.map((entity) => ({ ...entity })),
    locked: row.is_locked,
    alert: row.alert,
  };
}

/** Kong's words. A node of a release that cannot serve what is meant goes on with what it has. */
function statusOf(row: NodeRow, live: LiveNode | null): string {
  if (!row.is_served) return 'kong_version_incompatible';
  return live === null ? row.sync_status : syncStatusOf(live);
}
