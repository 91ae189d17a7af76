/**
 * What is held against a node's identity, kept in its row until an administrator has looked
 * (`NodeIdentities.unlock`). Serving never stops for it.
 */
import type { Logger } from '#shared/platform/platform.ts';
import type { Db } from '../store/db.ts';
import { clean } from './clean.ts';

/**
 * - `clone`: somebody with its key presented a join counter that another session had retired
 * - `flapping`: two sessions keep taking over from each other
 */
export type Suspicion = 'clone' | 'flapping';

export interface Suspect {
  readonly node: string;
  readonly ip: string;
  readonly hostname: string;
}

/** Longest hostname kept. */
const HOSTNAME_LENGTH_MAX = 253;

/** Writes it down; the first time is told from those after it. */
export async function suspect(
  db: Db,
  logger: Logger,
  reason: Suspicion,
  { node, ip, hostname }: Suspect,
  isLocking: boolean,
): Promise<void> {
  const name = clean(hostname).slice(0, HOSTNAME_LENGTH_MAX);
  const { rows } = await db.query<{ count: number }>(
    `UPDATE nodes SET
       locked_at = CASE WHEN $5 THEN coalesce(locked_at, now()) ELSE locked_at END,
       alert = jsonb_build_object(
         'reason', CASE WHEN alert ->> 'reason' = 'clone' THEN 'clone' ELSE $2::text END,
         'since', coalesce(alert -> 'since', to_jsonb(floor(extract(epoch FROM now()))::bigint)),
         'last', floor(extract(epoch FROM now()))::bigint,
         'count', coalesce((alert ->> 'count')::bigint, 0) + 1,
         'ip', $3::text, 'hostname', $4::text)
     WHERE id = $1 RETURNING (alert ->> 'count')::bigint AS count`,
    [node, reason, ip, name, isLocking],
  );
  const message =
    reason === 'clone'
      ? 'a copy of a data plane’s state is in use, or an older state was restored'
      : 'two data planes with the same identity keep taking over from each other';
  const count = rows[0]?.count ?? 0;
  logger.log('error', message, { node, ip, hostname: name, count, locked: isLocking });
}

/** Takeovers within this time that make it flapping: a network that comes and goes makes fewer. */
export const FLAPPING_COUNT = 5;
export const FLAPPING_MS = 60_000;
/** Nodes that are watched; the longest quiet makes room. */
export const FLAPPING_NODES_MAX = 1_000;

/** Counts how often sessions of one node take over from each other. */
export class Takeovers {
  readonly #times = new Map<string, readonly number[]>();

  /** @returns whether this one makes it flapping; then the counting starts again */
  count(node: string, nowMs: number): boolean {
    const recent = (this.#times.get(node) ?? []).filter((time) => nowMs - time < FLAPPING_MS);
    this.#times.delete(node);
    if (recent.length + 1 >= FLAPPING_COUNT) return true;
    this.#times.set(node, [...recent, nowMs]);
    for (const oldest of this.#times.keys()) {
      if (this.#times.size <= FLAPPING_NODES_MAX) break;
      this.#times.delete(oldest);
    }
    return false;
  }
}
