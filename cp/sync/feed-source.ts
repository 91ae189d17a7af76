/** Reads what was published: the bytes as they were stored, never made again (design 4.2). */
import { utf8 } from '#shared/base/bytes.ts';
import { must } from '#shared/base/assert.ts';
import { readManifest, type Manifest } from '#shared/config/manifest.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import type { Db } from '../store/db.ts';
import { CHAIN_COUNT_MAX, type FeedKey, type Published } from './feed.ts';

interface ManifestRow {
  readonly epoch: number;
  readonly revision: number;
  readonly hash: string;
  readonly manifest: string;
  readonly signature: string;
  readonly key_list: string;
  readonly key_list_signature: string;
  readonly delta: string | null;
}

/**
 * @param after  null: from the beginning
 * @returns ascending, the newest `CHAIN_COUNT_MAX` at most
 */
export async function loadPublished(
  db: Db,
  { groupId, level }: FeedKey,
  after: Position | null,
): Promise<Published[]> {
  const { rows } = await db.query<ManifestRow>(
    `SELECT epoch, revision, hash, manifest, signature, key_list, key_list_signature, delta
     FROM manifests
     WHERE group_id = $1 AND level = $2 AND (epoch, revision) > ($3::bigint, $4::bigint)
     ORDER BY epoch DESC, revision DESC LIMIT $5`,
    [groupId, level, after?.epoch ?? 0, after?.revision ?? 0, CHAIN_COUNT_MAX],
  );
  return rows.toReversed().map(toPublished);
}

function toPublished(row: ManifestRow): Published {
  const position = { epoch: row.epoch, revision: row.revision, hash: row.hash };
  const { previous, records, secret_generation: generation } = manifestOf(row.manifest);
  return {
    position,
    secretGeneration: generation ?? 0,
    records,
    manifest: manifestFrame(row),
    delta: row.delta === null ? null : utf8(row.delta),
    // A delta is only ever stored against the revision before it, in the same epoch.
    base:
      row.delta === null ? null : { epoch: row.epoch, revision: row.revision - 1, hash: previous },
  };
}

/** What a publisher of ours wrote, of this release or the next. */
function manifestOf(text: string): Pick<Manifest, 'previous' | 'records' | 'secret_generation'> {
  const read = readManifest(text);
  return must(read.ok ? read.manifest : null, 'a manifest of format 1');
}

function manifestFrame(row: ManifestRow): Uint8Array {
  const frame: FrameOf<'manifest'> = {
    type: 'manifest',
    head: {
      manifest: row.manifest,
      signature: row.signature,
      key_list: row.key_list,
      key_list_signature: row.key_list_signature,
    },
  };
  return utf8(JSON.stringify(frame));
}
