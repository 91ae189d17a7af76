/** A node as `GET /clustering/data-planes` shows it: Kong's fields, then ours. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { Position } from '#shared/wire/frames.ts';
import type { LiveNode } from './live-node.ts';

/** Kong's `cluster_data_plane_purge_delay`: how long a node that is gone stays listed. */
export const PURGE_DELAY_S = 14 * 24 * 3600;
/** A node of another control plane counts as connected if it was heard of this recently. */
const REMOTE_SEEN_MAX_S = 60;
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
  readonly ip: string | null;
  /** What is held against its identity; null for nothing. */
  readonly alert: JsonObject | null;
  readonly is_locked: boolean;
  readonly epoch: number;
  readonly revision: number;
  readonly hash: string;
  readonly persisted: boolean | null;
  readonly last_error: string | null;
  readonly connected_to: string | null;
  /** Epoch seconds. */
  readonly created_at: number;
  readonly last_seen: number | null;
  readonly desired_revision: number;
  /** The database's clock, epoch seconds. */
  readonly now: number;
}

/**
 * @param live  what this control plane holds of it; null when it is not connected here
 * @param self  id of this control plane's process
 */
export function nodeView(row: NodeRow, live: LiveNode | null, self: string): JsonObject {
  const stored: Position = { epoch: row.epoch, revision: row.revision, hash: row.hash };
  const position = live?.position ?? stored;
  const lastSeen = live === null ? (row.last_seen ?? row.created_at) : seconds(live.lastSeenMs);
  const isElsewhere = row.connected_to !== null && row.connected_to !== self;
  const age = Math.max(0, row.now - lastSeen);
  const lastError = live === null ? row.last_error : live.lastError;
  return {
    id: row.id,
    ip: live?.ip ?? row.ip,
    hostname: live?.about.hostname ?? row.hostname,
    version: live?.about.version ?? row.version,
    last_seen: lastSeen,
    updated_at: live === null ? lastSeen : seconds(live.updatedMs),
    config_hash: configHash(position),
    sync_status: position.hash === '' ? 'unknown' : 'normal',
    labels: live?.about.labels ?? row.labels,
    cert_details: null,
    rpc_capabilities: [],
    ttl: Math.max(0, PURGE_DELAY_S - age),
    connected: live !== null || (isElsewhere && age <= REMOTE_SEEN_MAX_S),
    group: row.group_name,
    runtime: live?.about.runtime ?? row.runtime,
    epoch: position.epoch,
    desired_revision: row.desired_revision,
    actual_revision: position.revision,
    persisted: live === null ? row.persisted : live.persisted,
    last_error: lastError,
    locked: row.is_locked,
    alert: row.alert,
  };
}

function configHash({ hash }: Position): string {
  return hash.slice(0, CONFIG_HASH_LENGTH).padEnd(CONFIG_HASH_LENGTH, '0');
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
