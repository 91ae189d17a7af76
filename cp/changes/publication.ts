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
import type { ConfigRecord, RecordKey } from '#shared/config/record.ts';
import { DOMAIN } from '#shared/config/signed-text.ts';
import { inSlices } from '#shared/base/slices.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeBreaks } from '#shared/platform/node/breaks.ts';
import { nodeSettingsFields } from '#shared/entities/group.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Position } from '#shared/wire/frames.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Db } from '../store/db.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import type { Reader } from '../store/store.ts';
import { type GroupRow, lockGroup, readVersions, savePublished } from './group-state.ts';
import { lower, LEVELS, type Levels } from './levels.ts';
import {
  dropWorkspace,
  heldWorkspaces,
  readWorkspace,
  type SliceChange,
  type SliceContext,
} from './slice.ts';
import {
  deltaText,
  readHeads,
  readTree,
  saveManifest,
  saveNodes,
  saveRecords,
  type PublishedHead,
  type Signed,
} from './stored-level.ts';
import { groupKeys, PLACEMENT_GENERATION } from './to-wire.ts';

/** Channel on which other control planes learn of a new revision; payload: the group's id. */
export const PUBLISHED_CHANNEL = 'headgate_published';

export interface PublicationDeps {
  readonly keyring: Keyring;
  readonly registry: Registry;
  readonly crypto: Crypto;
  /** Default: those of this release. */
  readonly levels?: Levels;
}

/** A group's trees as of a revision, kept between publications. */
export interface KnownTree {
  readonly epoch: number;
  readonly revision: number;
  readonly tree: ConfigTree;
  /** At the level before; null where it is not published. */
  readonly lower: ConfigTree | null;
}

export type Publication =
  /** Another control plane is publishing this group. */
  | { readonly type: 'busy' }
  | { readonly type: 'unchanged' }
  /** It is not the database that it was, or it has lost something: its numbers may not be counted on. */
  | { readonly type: 'doubtful' }
  | {
      readonly type: 'published';
      readonly position: Position;
      readonly known: KnownTree;
      /** Kept from nodes of the level before, because of this record; null when they have it too. */
      readonly withheld: RecordKey | null;
    };

/** What is the same at every level of one revision. */
interface Revision {
  readonly tx: Db;
  readonly group: GroupRow;
  readonly revision: number;
  readonly versions: Readonly<Record<string, number>>;
  readonly heads: ReadonlyMap<number, PublishedHead>;
  readonly deps: PublicationDeps;
}

/**
 * @param tx  repeatable read, nothing read before
 * @param known  the trees of an earlier publication; used when they are still the newest
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
  const { levels = LEVELS, crypto } = deps;
  const group = await lockGroup(tx, groupId, levels);
  if (group === null) return { type: 'busy' };
  // Another list of keys is a reason to publish, and is what this transaction sees.
  if (!group.is_same) await deps.keyring.follow(tx);
  const versions = await readVersions(tx, group, deps.registry);
  const heads = await readHeads(tx, groupId);
  const before = heads.get(levels.newest) ?? null;
  if (isDoubtful(group, heads, seen)) return { type: 'doubtful' };
  const isNewEpoch = before !== null && before.position.epoch !== group.epoch;
  // Every record with a secret in it is another one under another secret of the group.
  const isSameSecret = before?.secretGeneration === group.secret_generation;
  const isUnchanged = group.is_same && isSameSecret && isReached(group.published, versions);
  if (before !== null && !isNewEpoch && isUnchanged) return { type: 'unchanged' };
  // A control plane of the release before publishes at its own level only: what it saw, this one did not.
  const isInStep = before?.position.revision === group.revision;
  const isAnew = !isSameSecret || !isSameSelector(group) || !isInStep;
  const changes = await readSlices(await sliceContext(tx, reader, group, deps), {
    published: group.published,
    versions,
    isAnew,
  });
  const own = known?.revision === group.revision && known.epoch === group.epoch ? known : null;
  const older = own?.tree ?? (await readTree(tx, groupId, levels.newest, crypto));
  const tree = await inSlices(older.applySliced(changes.upserts, changes.removals), nodeBreaks());
  const revision = group.revision + 1;
  const at: Revision = { tx, group, revision, versions, heads, deps };
  const position = await publishAt(at, levels.newest, { tree, older, ...changes });
  const lowered = await publishLower(at, tree, isAnew ? null : changes, own?.lower ?? null);
  await savePublished(tx, group, revision, versions, levels);
  await tx.query(`SELECT pg_notify('${PUBLISHED_CHANNEL}', $1)`, [groupId]);
  const kept = { epoch: group.epoch, revision, tree, lower: lowered.tree };
  return { type: 'published', position, known: kept, withheld: lowered.withheld };
}

interface LevelChange extends SliceChange {
  readonly tree: ConfigTree;
  readonly older: ConfigTree;
}

async function publishAt(
  { tx, group, revision, versions, heads, deps }: Revision,
  level: number,
  { tree, older, upserts, removals }: LevelChange,
): Promise<Position> {
  const { crypto, keyring } = deps;
  const before = heads.get(level)?.position ?? null;
  const place = { groupId: group.id, level };
  const trees = { tree, older: before === null ? null : older };
  await saveRecords(tx, place, upserts, removals);
  await saveNodes(tx, place, revision, trees, crypto);
  const signed = await signManifest(deps, {
    format: MANIFEST_FORMAT,
    cluster: keyring.clusterId,
    group: group.name,
    group_id: group.id,
    epoch: group.epoch,
    revision,
    level,
    previous: before?.hash ?? '',
    root: tree.hash,
    records: tree.size,
    workspaces: versions,
    secret_generation: group.secret_generation,
    created_at: group.now,
    control_planes: group.control_planes,
    ...settingsOf(group),
    key_id: keyring.signingKeyId,
  });
  const position = {
    epoch: group.epoch,
    revision,
    hash: hex(crypto.sha256(signed.manifest)),
  };
  // Who reads deltas counts on it that each follows the revision before.
  const isNext = before?.epoch === group.epoch && before.revision === revision - 1;
  const delta = before !== null && isNext ? deltaText(before, signed, upserts, removals) : null;
  await saveManifest(tx, place, position, signed, delta);
  return position;
}

/**
 * The same revision for nodes of the release before.
 *
 * @param changes  of the newest level; null: they do not lead from the revision before to this one
 * @param known  the tree of the revision before, at that level
 */
async function publishLower(
  at: Revision,
  tree: ConfigTree,
  changes: SliceChange | null,
  known: ConfigTree | null,
): Promise<{ readonly tree: ConfigTree | null; readonly withheld: RecordKey | null }> {
  const { tx, group, heads, deps } = at;
  const { levels = LEVELS, crypto } = deps;
  if (levels.down === null) return { tree: null, withheld: null };
  const level = levels.newest - 1;
  const isInStep = heads.get(level)?.position.revision === group.revision;
  const step = isInStep ? changes : null;
  const lowering = lower(step?.upserts ?? tree.records(), levels.down, crypto);
  const lowered = await inSlices(lowering, nodeBreaks());
  if ('unfit' in lowered) return { tree: null, withheld: lowered.unfit };
  const older = known ?? (await readTree(tx, group.id, level, crypto));
  const gone = [...(step?.removals ?? []), ...lowered.dropped];
  const from = step === null ? ConfigTree.empty(crypto) : older;
  const next = await inSlices(from.applySliced(lowered.records, gone), nodeBreaks());
  const { upserts, removals } = await inSlices(next.diffSliced(older), nodeBreaks());
  await publishAt(at, level, { tree: next, older, upserts, removals });
  return { tree: next, withheld: null };
}

function isDoubtful(group: GroupRow, heads: Revision['heads'], seen: Position | null): boolean {
  if (group.is_same_database === false) return true;
  // In an earlier epoch nothing is counted on any more.
  if (seen === null || seen.epoch < group.epoch) return false;
  // What was seen may have been of any level: this control plane may have been of another release.
  const positions = [...heads.values()].map(({ position }) => position);
  const orders = positions.map((position) => compareRevisions(seen, position));
  if (orders.some((order) => order < 0)) return false;
  return !positions.some(({ hash }, index) => orders[index] === 0 && hash === seen.hash);
}

/** What nodes must know of the group's settings. */
function settingsOf({ policy }: GroupRow): Pick<Manifest, 'settings' | 'features'> {
  const names = Object.keys(nodeSettingsFields);
  const given = Object.entries(policy).filter(([name]) => names.includes(name));
  const parsed = parseRecord(nodeSettingsFields, Object.fromEntries(given));
  const settings = must(parsed.ok ? parsed.value : null, 'settings that were checked when written');
  return { settings, features: settings.staleness === 'close' ? [STALENESS_FEATURE] : [] };
}

function isOfSame(a: object, b: object): boolean {
  const [one, other] = [a, b].map((versions) => Object.keys(versions).toSorted().join());
  return one === other;
}

/**
 * Whether all that is due was published. More may have been: a release that does not know of a kind that
 * is never sent counts its changes.
 */
function isReached(
  published: Readonly<Record<string, number>>,
  due: Readonly<Record<string, number>>,
): boolean {
  const isThere = ([ws, version]: [string, number]): boolean => (published[ws] ?? -1) >= version;
  return isOfSame(published, due) && Object.entries(due).every(isThere);
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
  { keyring, registry, crypto, levels = LEVELS }: PublicationDeps,
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
  return { tx, reader, ...who, registry, keys, level: levels.newest, crypto };
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
  // What another control plane dropped at its own level is still there at this one.
  const before = at.isAnew ? await heldWorkspaces(context) : Object.keys(at.published);
  for (const ws of before) {
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
