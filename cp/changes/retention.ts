/**
 * What is kept of the past (decision 7): the last 20 manifests, or 24 hours, and every tree node they
 * refer to. The rest is swept, a bounded number of rows per run.
 */
import type { Db } from '../store/db.ts';

export const MANIFESTS_KEPT_MIN = 20;
/** Beyond it even those of the last 24 hours go: churn must not fill the disk. */
export const MANIFESTS_KEPT_MAX = 2_000;
export const SWEPT_ROWS_MAX = 1_000;

const OLD_MANIFESTS = `
  SELECT group_id, epoch, revision, level FROM (
    SELECT group_id, epoch, revision, level, created_at, row_number() OVER (
      PARTITION BY group_id, level ORDER BY epoch DESC, revision DESC
    ) AS rank FROM manifests
  ) AS ranked
  WHERE rank > $2 OR (rank > $1 AND created_at < now() - interval '24 hours')
  LIMIT $3`;

/** @returns rows removed; the rest waits for the next run */
export async function sweepRetired(db: Db): Promise<number> {
  const manifests = await db.query(
    `DELETE FROM manifests m USING (${OLD_MANIFESTS}) AS old
     WHERE m.group_id = old.group_id AND m.epoch = old.epoch AND m.revision = old.revision
       AND m.level = old.level`,
    [MANIFESTS_KEPT_MIN, MANIFESTS_KEPT_MAX, SWEPT_ROWS_MAX],
  );
  // A node retired by revision R was part of R - 1 at the latest.
  const nodes = await db.query(
    `DELETE FROM group_nodes n USING (
       SELECT n.group_id, n.level, n.id FROM group_nodes n JOIN (
         SELECT group_id, level, min(revision) AS oldest FROM manifests GROUP BY group_id, level
       ) AS kept ON kept.group_id = n.group_id AND kept.level = n.level
       WHERE n.retired_revision <= kept.oldest LIMIT $1
     ) AS old
     WHERE n.group_id = old.group_id AND n.level = old.level AND n.id = old.id
       AND n.retired_revision IS NOT NULL`,
    [SWEPT_ROWS_MAX],
  );
  return manifests.count + nodes.count;
}
