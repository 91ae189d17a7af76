/** A replica's records, sorted by what the build does with them. One pass. */
import type { ConfigRecord, Replica } from '../config/record.ts';
import { scopedKey } from './tables.ts';

export interface RecordGroups {
  readonly routes: readonly ConfigRecord[];
  readonly plugins: readonly ConfigRecord[];
  readonly upstreams: readonly ConfigRecord[];
  readonly workspaces: readonly ConfigRecord[];
  /** Entities without their secrets, plugins aside: as good as missing, and named. */
  readonly faulty: readonly ConfigRecord[];
  /** By `scopedKey(ws, id)`. */
  readonly services: ReadonlyMap<string, ConfigRecord>;
  /** By `scopedKey(ws, id of the Upstream)`, in tree order. */
  readonly targets: ReadonlyMap<string, readonly ConfigRecord[]>;
  /** Consumers, credentials and whatever else is looked up, by workspace. */
  readonly indexed: ReadonlyMap<string, readonly ConfigRecord[]>;
  /** Ids of all workspaces with a record. */
  readonly workspaceIds: ReadonlySet<string>;
}

export function groupRecords(replica: Replica): RecordGroups {
  const groups = {
    routes: [] as ConfigRecord[],
    plugins: [] as ConfigRecord[],
    upstreams: [] as ConfigRecord[],
    workspaces: [] as ConfigRecord[],
    faulty: [] as ConfigRecord[],
    services: new Map<string, ConfigRecord>(),
    targets: new Map<string, ConfigRecord[]>(),
    indexed: new Map<string, ConfigRecord[]>(),
    workspaceIds: new Set<string>(),
  };
  for (const record of replica.tree.records()) {
    if (record.kind === 'workspaces') {
      groups.workspaces.push(record);
      continue;
    }
    groups.workspaceIds.add(record.ws);
    if (record.fault !== undefined && record.kind !== 'plugins') {
      groups.faulty.push(record);
      continue;
    }
    if (record.kind === 'routes') groups.routes.push(record);
    else if (record.kind === 'plugins') groups.plugins.push(record);
    else if (record.kind === 'upstreams') groups.upstreams.push(record);
    else if (record.kind === 'services')
      groups.services.set(scopedKey(record.ws, record.id), record);
    else if (record.kind === 'targets') {
      const upstream = foreignId(record, 'upstream');
      if (upstream !== null) push(groups.targets, scopedKey(record.ws, upstream), record);
    } else push(groups.indexed, record.ws, record);
  }
  return groups;
}

/** The id a foreign field points to; null when it points nowhere. */
export function foreignId(record: ConfigRecord, field: string): string | null {
  const value = record.body[field];
  if (typeof value !== 'object' || value === null || !('id' in value)) return null;
  return typeof value.id === 'string' ? value.id : null;
}

function push(lists: Map<string, ConfigRecord[]>, key: string, record: ConfigRecord): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [record]);
  else list.push(record);
}
