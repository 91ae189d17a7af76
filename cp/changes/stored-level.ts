/** What is stored of a group's configuration at one schema level: records, tree nodes, manifests. */
import { must } from '#shared/base/assert.ts';
import { inSlices, type Sliced } from '#shared/base/slices.ts';
import { parseRecordText, type ConfigRecord, type RecordKey } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeBreaks } from '#shared/platform/node/breaks.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import type { Db } from '../store/db.ts';

/** A longer delta is not kept: its receivers fetch the tree nodes that differ instead. */
export const DELTA_LENGTH_MAX = 1024 * 1024;
/** Of one removal: the names of its fields, and two ids. */
const REMOVAL_LENGTH_MIN = 100;

/** Rows in one statement. Nodes are up to a hundred kilobytes each. */
const RECORD_BATCH = 500;
const NODE_BATCH = 100;

export interface PublishedHead {
  readonly position: Position;
  /** Null when it was published by a release that sealed nothing. */
  readonly secretGeneration: number | null;
}

/** The newest of each level. */
export async function readHeads(tx: Db, groupId: string): Promise<Map<number, PublishedHead>> {
  const { rows } = await tx.query<
    Position & { readonly level: number; readonly generation: number | null }
  >(
    `SELECT DISTINCT ON (level) level, epoch, revision, hash,
       (manifest::jsonb ->> 'secret_generation')::integer AS generation
     FROM manifests WHERE group_id = $1 ORDER BY level, epoch DESC, revision DESC`,
    [groupId],
  );
  return new Map(
    rows.map(({ level, generation, ...position }) => [
      level,
      { position, secretGeneration: generation },
    ]),
  );
}

/** What the database says was published. */
export async function readTree(
  tx: Db,
  groupId: string,
  level: number,
  crypto: Crypto,
): Promise<ConfigTree> {
  const { rows } = await tx.query<{ text: string }>(
    'SELECT text FROM group_records WHERE group_id = $1 AND level = $2',
    [groupId, level],
  );
  return inSlices(treeFrom(rows, crypto), nodeBreaks());
}

/** A hundred thousand records at once would keep every session waiting for a second. */
function* treeFrom(rows: readonly { readonly text: string }[], crypto: Crypto): Sliced<ConfigTree> {
  const records: ConfigRecord[] = [];
  for (const { text } of rows) {
    yield;
    records.push(must(parseRecordText(text, crypto), 'a stored record'));
  }
  return yield* ConfigTree.empty(crypto).applySliced(records, []);
}

/** Which group, and at which level. */
export interface StoredPlace {
  readonly groupId: string;
  readonly level: number;
}

export async function saveRecords(
  tx: Db,
  { groupId, level }: StoredPlace,
  upserts: readonly ConfigRecord[],
  removals: readonly RecordKey[],
): Promise<void> {
  for (const batch of batches(removals, RECORD_BATCH)) {
    await tx.query(
      `DELETE FROM group_records r
       USING unnest($3::text[], $4::uuid[], $5::uuid[]) AS gone(kind, ws_id, entity_id)
       WHERE r.group_id = $1 AND r.level = $2 AND r.kind = gone.kind AND r.ws_id = gone.ws_id
         AND r.entity_id = gone.entity_id`,
      [groupId, level, batch.map((r) => r.kind), batch.map((r) => r.ws), batch.map((r) => r.id)],
    );
  }
  for (const batch of batches(upserts, RECORD_BATCH)) {
    await tx.query(
      `INSERT INTO group_records
         (group_id, level, kind, ws_id, entity_id, placement, hash, text)
       SELECT $1, $2, * FROM unnest(
         $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[])
       ON CONFLICT (group_id, level, kind, ws_id, entity_id) DO UPDATE
       SET placement = excluded.placement, hash = excluded.hash, text = excluded.text`,
      [
        groupId,
        level,
        batch.map((r) => r.kind),
        batch.map((r) => r.ws),
        batch.map((r) => r.id),
        batch.map((r) => r.placement),
        batch.map((r) => r.hash),
        batch.map((r) => r.text),
      ],
    );
  }
}

/** @param older  the tree before; null for a first one */
export async function saveNodes(
  tx: Db,
  { groupId, level }: StoredPlace,
  revision: number,
  trees: { readonly tree: ConfigTree; readonly older: ConfigTree | null },
  crypto: Crypto,
): Promise<void> {
  const { tree, older } = trees;
  // The very first tree may be the empty one: its root must be there to be fetched all the same.
  const isFirst = older === null;
  const diff = tree.diffSliced(older ?? ConfigTree.empty(crypto));
  const { addedNodes, droppedNodeIds } = await inSlices(diff, nodeBreaks());
  const added = isFirst && addedNodes.length === 0 ? [...tree.nodes()] : addedNodes;
  for (const batch of batches(added, NODE_BATCH)) {
    await tx.query(
      `INSERT INTO group_nodes (group_id, level, id, text)
       SELECT $1, $2, * FROM unnest($3::text[], $4::text[])
       ON CONFLICT (group_id, level, id) DO UPDATE SET retired_revision = NULL`,
      [groupId, level, batch.map(({ id }) => id), batch.map(({ text }) => text)],
    );
  }
  if (isFirst || droppedNodeIds.length === 0) return;
  await tx.query(
    `UPDATE group_nodes SET retired_revision = $4
     WHERE group_id = $1 AND level = $2 AND id = ANY($3::text[])`,
    [groupId, level, droppedNodeIds, revision],
  );
}

export type Signed = FrameOf<'manifest'>['head'];

/** Null when it is too long to be kept. */
export function deltaText(
  base: Position,
  head: Signed,
  upserts: readonly ConfigRecord[],
  removals: readonly RecordKey[],
): string | null {
  // What is far too long is not put together to be thrown away: that would hold up the process.
  let length = removals.length * REMOVAL_LENGTH_MIN;
  for (const { text } of upserts) length += text.length;
  if (length > DELTA_LENGTH_MAX) return null;
  const frame: FrameOf<'delta'> = {
    type: 'delta',
    base,
    head,
    upserts: upserts.map(({ text }) => text),
    removals: removals.map(({ kind, ws, id, placement }) => ({ kind, ws, id, placement })),
  };
  const text = JSON.stringify(frame);
  return text.length > DELTA_LENGTH_MAX ? null : text;
}

export async function saveManifest(
  tx: Db,
  { groupId, level }: StoredPlace,
  position: Position,
  signed: Signed,
  delta: string | null,
): Promise<void> {
  await tx.query(
    `INSERT INTO manifests (group_id, epoch, revision, level, manifest, signature, key_list,
       key_list_signature, hash, delta) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      groupId,
      position.epoch,
      position.revision,
      level,
      signed.manifest,
      signed.signature,
      signed.key_list,
      signed.key_list_signature,
      position.hash,
      delta,
    ],
  );
}

function* batches<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
