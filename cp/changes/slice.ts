/**
 * What changed in a group's slice: entities of its workspaces, in wire shape, against what was
 * published (`group_records`). Everything is read in one transaction (repeatable read).
 */
import { inSlices, type Sliced } from '#shared/base/slices.ts';
import type { ConfigRecord, RecordKey } from '#shared/config/record.ts';
import { sealedKind } from '#shared/config/sealed-secrets.ts';
import { nodeBreaks } from '#shared/platform/node/breaks.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Db } from '../store/db.ts';
import type { Page, Reader } from '../store/store.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import { inOrder } from './closure.ts';
import { Candidates, type Looked, Selection } from './selection.ts';
import { isWired, toWire, type GroupKeys } from './to-wire.ts';

/** Entities read one by one; with more of them changed, reading all of the workspace is cheaper. */
export const CHANGED_COUNT_MAX = 500;
const NOTHING: ReadonlySet<string> = new Set();
/** Rows per page when all are read. */
const PAGE_SIZE = 1_000;

export interface SliceContext {
  readonly tx: Db;
  readonly reader: Reader;
  readonly groupId: string;
  /** Ids of those that the group subscribes to. */
  readonly workspaces: readonly string[];
  /** Selects routes; null: all of everything. */
  readonly tags: ReadonlySet<string> | null;
  /** Ids of authorities to look at when the workspaces are done: see `Selection`. */
  readonly authorities: Set<string>;
  readonly registry: Registry;
  readonly keys: GroupKeys;
  readonly level: number;
  readonly crypto: Crypto;
}

/** Removals come first when applied: an entity that moved is removed there and added here. */
export interface SliceChange {
  readonly upserts: readonly ConfigRecord[];
  readonly removals: readonly RecordKey[];
}

interface KnownRow {
  readonly kind: string;
  readonly entity_id: string;
  readonly placement: string;
  readonly hash: string;
}

interface ChangedRow {
  readonly kind: string;
  readonly entity_id: string;
}

/**
 * @param from  version published last; null: never
 * @param to  version of this transaction's view
 */
export async function readWorkspace(
  context: SliceContext,
  ws: string,
  from: number | null,
  to: number,
): Promise<SliceChange> {
  const changed = from === null ? null : await readChanged(context, ws, from, to);
  const { tags } = context;
  if (tags !== null) return readSelected(context, tags, ws, changed);
  if (changed === null) return readAll(context, ws);
  const ids = [...new Set(changed.map(({ entity_id: id }) => id))];
  const known = await readKnown(context, ws, ids);
  const records: ConfigRecord[] = [];
  const gone = new Map<string, KnownRow>();
  for (const { kind, entity_id: id } of changed) {
    const def = context.registry.entities.get(kind);
    if (def === undefined || !isWired(def)) continue;
    // Itself and what it has sealed: that is gone as well when it has no secrets any more.
    for (const name of [keyOf(kind, id), keyOf(sealedKind(kind), id)]) {
      const before = known.get(name);
      if (before !== undefined) gone.set(name, before);
    }
    const isWanted = isInSlice(context, def, id);
    const entity = isWanted ? await context.reader.get(def, ws, id) : null;
    if (entity !== null) await wire(context, def, ws, entity, { records, gone });
  }
  return inSlices(compare(ws, records, known, gone), nodeBreaks());
}

/** Everything of a workspace that the group does not subscribe to any more. */
export async function dropWorkspace(context: SliceContext, ws: string): Promise<SliceChange> {
  await new Selection({ ...context, tags: NOTHING }, ws).clear();
  const known = await readKnown(context, ws, null);
  return inSlices(compare(ws, [], known, known), nodeBreaks());
}

/** Ids of all of which something is published. */
export async function heldWorkspaces({ tx, groupId, level }: SliceContext): Promise<string[]> {
  const { rows } = await tx.query<{ ws_id: string }>(
    'SELECT DISTINCT ws_id FROM group_records WHERE group_id = $1 AND level = $2 ORDER BY ws_id',
    [groupId, level],
  );
  return rows.map((row) => row.ws_id);
}

/** As `readWorkspace`, of a group that selects. @param changed  null: everything may have */
async function readSelected(
  context: SliceContext,
  tags: ReadonlySet<string>,
  ws: string,
  changed: readonly ChangedRow[] | null,
): Promise<SliceChange> {
  const selection = new Selection({ ...context, tags }, ws);
  const known = changed === null ? await readKnown(context, ws, null) : new Map<string, KnownRow>();
  const gone = new Map(known);
  const records: ConfigRecord[] = [];
  const candidates = new Candidates();
  const breaks = nodeBreaks();
  for (const { kind, entity_id: id } of changed ?? []) candidates.add(kind, [id]);
  if (ws === SYSTEM_WORKSPACE) candidates.add('ca_certificates', context.authorities);
  if (changed === null) await selection.clear();
  for (const definition of inOrder(wiredIn(context, ws))) {
    const looked =
      changed === null
        ? everyPage(context, ws, definition)
        : lookAt(context, ws, definition, candidates.of(definition.name));
    for await (const batch of looked) {
      if (changed !== null) {
        for (const [name, row] of await readKnown(context, ws, batch.ids)) {
          if (row.kind !== definition.name && row.kind !== sealedKind(definition.name)) continue;
          known.set(name, row);
          gone.set(name, row);
        }
      }
      const { ids } = batch;
      const before = new Set(ids.filter((id) => known.has(keyOf(definition.name, id))));
      const members = await selection.members(batch);
      for (const entity of members) {
        if (!isInSlice(context, definition, entity.id)) continue;
        await wire(context, definition, ws, entity, { records, gone });
        await breaks.due();
      }
      const found = await selection.settle(batch, members, changed === null ? null : before);
      for (const kind of found.kinds) candidates.add(kind, found.of(kind));
    }
  }
  return inSlices(compare(ws, records, known, gone), nodeBreaks());
}

async function* everyPage(
  { reader }: SliceContext,
  ws: string,
  definition: EntityDefinition,
): AsyncGenerator<Looked> {
  for (let after: string | null = null, isFirst = true; isFirst || after !== null;) {
    isFirst = false;
    const { rows, next }: Page = await reader.list(definition, ws, { size: PAGE_SIZE, after });
    yield { definition, ids: rows.map(({ id }) => id), entities: rows };
    after = next;
  }
}

async function* lookAt(
  { reader }: SliceContext,
  ws: string,
  definition: EntityDefinition,
  all: readonly string[],
): AsyncGenerator<Looked> {
  for (let start = 0; start < all.length; start += PAGE_SIZE) {
    const ids = all.slice(start, start + PAGE_SIZE);
    const found = await reader.getMany(definition, ws, ids);
    yield { definition, ids, entities: [...found.values()] };
  }
}

/** Kinds that are sent, and lie in this workspace. */
function wiredIn({ registry }: SliceContext, ws: string): EntityDefinition[] {
  const isSystem = ws === SYSTEM_WORKSPACE;
  return [...registry.entities.values()].filter(
    (definition) => isWired(definition) && definition.workspaceable !== isSystem,
  );
}

/** Null when the log does not reach back, or so much changed that reading all is cheaper. */
async function readChanged(
  { tx }: SliceContext,
  ws: string,
  from: number,
  to: number,
): Promise<ChangedRow[] | null> {
  const params = [ws, from, to];
  const range = 'FROM changes WHERE ws_id = $1 AND version > $2 AND version <= $3';
  const seen = await tx.query<{ count: number }>(
    `SELECT count(DISTINCT version) AS count ${range}`,
    params,
  );
  if (seen.rows[0]?.count !== to - from) return null;
  const { rows } = await tx.query<ChangedRow>(
    `SELECT DISTINCT kind, entity_id ${range} LIMIT ${CHANGED_COUNT_MAX + 1}`,
    params,
  );
  return rows.length > CHANGED_COUNT_MAX ? null : rows;
}

async function readAll(context: SliceContext, ws: string): Promise<SliceChange> {
  // It may have selected before.
  await new Selection({ ...context, tags: NOTHING }, ws).clear();
  const known = await readKnown(context, ws, null);
  const gone = new Map(known);
  const records: ConfigRecord[] = [];
  const breaks = nodeBreaks();
  for (const def of wiredIn(context, ws)) {
    for await (const { entities } of everyPage(context, ws, def)) {
      for (const entity of entities) {
        if (!isInSlice(context, def, entity.id)) continue;
        await wire(context, def, ws, entity, { records, gone });
        await breaks.due();
      }
    }
  }
  return inSlices(compare(ws, records, known, gone), nodeBreaks());
}

/** A data plane learns of the workspaces that it serves, and of no other. */
function isInSlice({ workspaces }: SliceContext, def: EntityDefinition, id: string): boolean {
  return def.name !== 'workspaces' || workspaces.includes(id);
}

/** Adds its records to those that there are, and takes them off those that are gone. */
async function wire(
  { keys, crypto, registry }: SliceContext,
  def: EntityDefinition,
  ws: string,
  entity: Parameters<typeof toWire>[1],
  to: { readonly records: ConfigRecord[]; readonly gone: Map<string, KnownRow> },
): Promise<void> {
  for (const record of await toWire(def, entity, { ws, keys, registry }, crypto)) {
    to.records.push(record);
    to.gone.delete(keyOf(record.kind, record.id));
  }
}

async function readKnown(
  { tx, groupId, level }: SliceContext,
  ws: string,
  ids: readonly string[] | null,
): Promise<Map<string, KnownRow>> {
  const { rows } = await tx.query<KnownRow>(
    `SELECT kind, entity_id, placement, hash FROM group_records
     WHERE group_id = $1 AND level = $2 AND ws_id = $3
       ${ids === null ? '' : 'AND entity_id = ANY($4::uuid[])'}`,
    ids === null ? [groupId, level, ws] : [groupId, level, ws, ids],
  );
  return inSlices(byKey(rows), nodeBreaks());
}

function* byKey(rows: readonly KnownRow[]): Sliced<Map<string, KnownRow>> {
  const known = new Map<string, KnownRow>();
  for (const row of rows) {
    yield;
    known.set(keyOf(row.kind, row.entity_id), row);
  }
  return known;
}

function* compare(
  ws: string,
  records: readonly ConfigRecord[],
  known: ReadonlyMap<string, KnownRow>,
  gone: ReadonlyMap<string, KnownRow>,
): Sliced<SliceChange> {
  const upserts: ConfigRecord[] = [];
  const removals: RecordKey[] = [];
  for (const row of gone.values()) {
    yield;
    removals.push(recordKey(ws, row));
  }
  for (const record of records) {
    yield;
    const before = known.get(keyOf(record.kind, record.id));
    if (before?.hash === record.hash) continue;
    upserts.push(record);
    if (before !== undefined && before.placement !== record.placement) {
      removals.push(recordKey(ws, before));
    }
  }
  return { upserts, removals };
}

function recordKey(ws: string, row: KnownRow): RecordKey {
  return { kind: row.kind, ws, id: row.entity_id, placement: row.placement };
}

function keyOf(kind: string, id: string): string {
  return `${kind}/${id}`;
}
