/**
 * Makes one revision of a group, in one transaction: records, tree nodes, manifest and delta are made
 * once, as bytes, and never derived again (design 4.2).
 */
import { must } from '#shared/base/assert.ts';
import { base64url, hex, utf8 } from '#shared/base/bytes.ts';
import { canonicalJson } from '#shared/config/canonical.ts';
import {
  compareRevisions,
  MANIFEST_FORMAT,
  STALENESS_FEATURE,
  type Manifest,
} from '#shared/config/manifest.ts';
import { parseRecordText, type ConfigRecord, type RecordKey } from '#shared/config/record.ts';
import { DOMAIN } from '#shared/config/signed-text.ts';
import { inSlices, type Sliced } from '#shared/base/slices.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeBreaks } from '#shared/platform/node/breaks.ts';
import { nodeSettingsFields } from '#shared/entities/group.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Db } from '../store/db.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import type { Reader } from '../store/store.ts';
import { type GroupRow, lockGroup, readVersions, savePublished } from './group-state.ts';
import { dropWorkspace, readWorkspace, type SliceChange, type SliceContext } from './slice.ts';
import { groupKeys, LEVEL, PLACEMENT_GENERATION } from './to-wire.ts';

/** Channel on which other control planes learn of a new revision; payload: the group's id. */
export const PUBLISHED_CHANNEL = 'headgate_published';

/** A longer delta is not kept: its receivers fetch the tree nodes that differ instead. */
export const DELTA_LENGTH_MAX = 1024 * 1024;

/** Rows in one statement. Nodes are up to a hundred kilobytes each. */
const RECORD_BATCH = 500;
const NODE_BATCH = 100;

export interface PublicationDeps {
  readonly keyring: Keyring;
  readonly registry: Registry;
  readonly crypto: Crypto;
}

/** A group's tree as of a revision, kept between publications. */
export interface KnownTree {
  readonly epoch: number;
  readonly revision: number;
  readonly tree: ConfigTree;
}

export type Publication =
  /** Another control plane is publishing this group. */
  | { readonly type: 'busy' }
  | { readonly type: 'unchanged' }
  /** It is not the database that it was, or it has lost something: its numbers may not be counted on. */
  | { readonly type: 'doubtful' }
  | { readonly type: 'published'; readonly position: Position; readonly known: KnownTree };

/**
 * @param tx  repeatable read, nothing read before
 * @param known  the tree of an earlier publication; used when it is still the newest
 * @param seen  the newest revision known of from before the transaction
 */
export async function publish(
  tx: Db,
  reader: Reader,
  groupId: string,
  known: KnownTree | null,
  deps: PublicationDeps,
  seen: Position | null = null,
): Promise<Publication> {
  const group = await lockGroup(tx, groupId);
  if (group === null) return { type: 'busy' };
  // Another list of keys is a reason to publish, and is what this transaction sees.
  if (!group.is_same) await deps.keyring.follow(tx);
  const versions = await readVersions(tx, group, deps.registry);
  const before = await readHead(tx, groupId);
  if (isDoubtful(group, before, seen)) return { type: 'doubtful' };
  const isNewEpoch = before !== null && before.position.epoch !== group.epoch;
  // Every record with a secret in it is another one under another secret of the group.
  const isSameSecret = before?.secretGeneration === group.secret_generation;
  const isUnchanged = group.is_same && isSameSecret && isSame(group.published, versions);
  if (before !== null && !isNewEpoch && isUnchanged) return { type: 'unchanged' };
  const { upserts, removals } = await readSlices(await sliceContext(tx, reader, group, deps), {
    published: group.published,
    versions,
    isAnew: !isSameSecret || !isSameSelector(group),
  });
  const older = await treeOf(tx, group, known, deps.crypto);
  const tree = await inSlices(older.applySliced(upserts, removals), nodeBreaks());
  const revision = group.revision + 1;
  await saveRecords(tx, groupId, upserts, removals);
  await saveNodes(tx, groupId, revision, tree, before === null ? null : older, deps.crypto);
  const base = before === null || isNewEpoch ? null : before.position;
  const signed = await signManifest(deps, {
    format: MANIFEST_FORMAT,
    cluster: deps.keyring.clusterId,
    group: group.name,
    group_id: groupId,
    epoch: group.epoch,
    revision,
    level: LEVEL,
    previous: before?.position.hash ?? '',
    root: tree.hash,
    records: tree.size,
    workspaces: versions,
    secret_generation: group.secret_generation,
    created_at: group.now,
    control_planes: group.control_planes,
    ...settingsOf(group),
    key_id: deps.keyring.signingKeyId,
  });
  const hash = hex(deps.crypto.sha256(signed.manifest));
  const position = { epoch: group.epoch, revision, hash };
  const delta = base === null ? null : deltaText(base, signed, upserts, removals);
  await saveManifest(tx, groupId, position, signed, delta);
  await savePublished(tx, group, revision, versions);
  await tx.query(`SELECT pg_notify('${PUBLISHED_CHANNEL}', $1)`, [groupId]);
  return { type: 'published', position, known: { epoch: group.epoch, revision, tree } };
}

function isDoubtful(group: GroupRow, before: PublishedHead | null, seen: Position | null): boolean {
  if (group.is_same_database === false) return true;
  // In an earlier epoch nothing is counted on any more.
  if (seen === null || seen.epoch < group.epoch) return false;
  const order = before === null ? 1 : compareRevisions(seen, before.position);
  return order > 0 || (order === 0 && seen.hash !== before?.position.hash);
}

/** What nodes must know of the group's settings. */
function settingsOf({ policy }: GroupRow): Pick<Manifest, 'settings' | 'features'> {
  const names = Object.keys(nodeSettingsFields);
  const given = Object.entries(policy).filter(([name]) => names.includes(name));
  const parsed = parseRecord(nodeSettingsFields, Object.fromEntries(given));
  const settings = must(parsed.ok ? parsed.value : null, 'settings that were checked when written');
  return { settings, features: settings.staleness === 'close' ? [STALENESS_FEATURE] : [] };
}

interface PublishedHead {
  readonly position: Position;
  /** Null when it was published by a release that sealed nothing. */
  readonly secretGeneration: number | null;
}

async function readHead(tx: Db, groupId: string): Promise<PublishedHead | null> {
  const { rows } = await tx.query<Position & { readonly generation: number | null }>(
    `SELECT epoch, revision, hash, (manifest::jsonb ->> 'secret_generation')::integer AS generation
     FROM manifests WHERE group_id = $1 AND level = $2
     ORDER BY epoch DESC, revision DESC LIMIT 1`,
    [groupId, LEVEL],
  );
  const [row] = rows;
  if (row === undefined) return null;
  const { generation, ...position } = row;
  return { position, secretGeneration: generation };
}

function isOfSame(a: object, b: object): boolean {
  const [one, other] = [a, b].map((versions) => Object.keys(versions).toSorted().join());
  return one === other;
}

function isSame(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** An older release may have published since, and selects nothing. */
function isSameSelector({ tags, revision, published_as: before }: GroupRow): boolean {
  const isKnown = before?.revision === revision;
  return isKnown ? tags?.join('/') === before.tags?.join('/') : tags === null;
}

async function sliceContext(
  tx: Db,
  reader: Reader,
  group: GroupRow,
  { keyring, registry, crypto }: PublicationDeps,
): Promise<SliceContext> {
  const { id: groupId, workspaces, secret_generation: generation } = group;
  const tags = group.tags === null ? null : new Set(group.tags);
  const secrets = {
    secret: keyring.groupSecret(groupId, generation),
    placement: keyring.groupSecret(groupId, PLACEMENT_GENERATION),
  };
  const keys = await groupKeys(
    { cluster: keyring.clusterId, groupId, generation },
    secrets,
    crypto,
  );
  const authorities = new Set<string>();
  const who = { groupId, workspaces, tags, authorities };
  return { tx, reader, ...who, registry, keys, level: LEVEL, crypto };
}

async function readSlices(
  context: SliceContext,
  at: {
    readonly published: Readonly<Record<string, number>>;
    readonly versions: Readonly<Record<string, number>>;
    readonly isAnew: boolean;
  },
): Promise<{ upserts: ConfigRecord[]; removals: RecordKey[] }> {
  const changes: SliceChange[] = [];
  const { [SYSTEM_WORKSPACE]: shared, ...own } = at.versions;
  for (const [ws, version] of Object.entries(own)) {
    const from = at.isAnew ? null : (at.published[ws] ?? null);
    if (from !== version) changes.push(await readWorkspace(context, ws, from, version));
  }
  for (const ws of Object.keys(at.published)) {
    if (at.versions[ws] === undefined) changes.push(await dropWorkspace(context, ws));
  }
  if (shared !== undefined) {
    // Other workspaces, so other records that say which there are.
    const isOther = at.isAnew || !isOfSame(at.published, at.versions);
    const from = isOther ? null : (at.published[SYSTEM_WORKSPACE] ?? null);
    // Last: which authorities are needed shows in the workspaces.
    if (from !== shared || context.authorities.size > 0) {
      changes.push(await readWorkspace(context, SYSTEM_WORKSPACE, from, shared));
    }
  }
  return {
    upserts: changes.flatMap(({ upserts }) => upserts),
    removals: changes.flatMap(({ removals }) => removals),
  };
}

/** The tree in memory when it is the newest, else what the database says was published. */
async function treeOf(
  tx: Db,
  group: GroupRow,
  known: KnownTree | null,
  crypto: Crypto,
): Promise<ConfigTree> {
  if (known?.revision === group.revision && known.epoch === group.epoch) return known.tree;
  const { rows } = await tx.query<{ text: string }>(
    'SELECT text FROM group_records WHERE group_id = $1',
    [group.id],
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

async function saveRecords(
  tx: Db,
  groupId: string,
  upserts: readonly ConfigRecord[],
  removals: readonly RecordKey[],
): Promise<void> {
  for (const batch of batches(removals, RECORD_BATCH)) {
    await tx.query(
      `DELETE FROM group_records r
       USING unnest($2::text[], $3::uuid[], $4::uuid[]) AS gone(kind, ws_id, entity_id)
       WHERE r.group_id = $1 AND r.kind = gone.kind AND r.ws_id = gone.ws_id
         AND r.entity_id = gone.entity_id`,
      [groupId, batch.map((r) => r.kind), batch.map((r) => r.ws), batch.map((r) => r.id)],
    );
  }
  for (const batch of batches(upserts, RECORD_BATCH)) {
    await tx.query(
      `INSERT INTO group_records (group_id, kind, ws_id, entity_id, placement, hash, text)
       SELECT $1, * FROM unnest($2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[])
       ON CONFLICT (group_id, kind, ws_id, entity_id) DO UPDATE
       SET placement = excluded.placement, hash = excluded.hash, text = excluded.text`,
      [
        groupId,
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

async function saveNodes(
  tx: Db,
  groupId: string,
  revision: number,
  tree: ConfigTree,
  older: ConfigTree | null,
  crypto: Crypto,
): Promise<void> {
  // The very first tree may be the empty one: its root must be there to be fetched all the same.
  const isFirst = older === null;
  const { addedNodes, droppedNodeIds } = tree.diff(older ?? ConfigTree.empty(crypto));
  const added = isFirst ? [...tree.nodes()] : addedNodes;
  for (const batch of batches(added, NODE_BATCH)) {
    await tx.query(
      `INSERT INTO group_nodes (group_id, id, text)
       SELECT $1, * FROM unnest($2::text[], $3::text[])
       ON CONFLICT (group_id, id) DO UPDATE SET retired_revision = NULL`,
      [groupId, batch.map(({ id }) => id), batch.map(({ text }) => text)],
    );
  }
  if (isFirst || droppedNodeIds.length === 0) return;
  await tx.query(
    'UPDATE group_nodes SET retired_revision = $3 WHERE group_id = $1 AND id = ANY($2::text[])',
    [groupId, droppedNodeIds, revision],
  );
}

type Signed = FrameOf<'manifest'>['head'];

async function signManifest(
  { keyring }: PublicationDeps,
  manifest: Manifest & JsonObject,
): Promise<Signed> {
  const text = canonicalJson(manifest);
  const signature = await keyring.sign(utf8(DOMAIN.manifest + text));
  return {
    manifest: text,
    signature: base64url(signature),
    key_list: keyring.keyList.text,
    key_list_signature: keyring.keyList.signature,
  };
}

function deltaText(
  base: Position,
  head: Signed,
  upserts: readonly ConfigRecord[],
  removals: readonly RecordKey[],
): string | null {
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

async function saveManifest(
  tx: Db,
  groupId: string,
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
      LEVEL,
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
