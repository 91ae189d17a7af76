/**
 * Which nodes were revoked, or locked: learnt at once where it was done and by notification elsewhere,
 * and looked for at every poll, because a notification may be lost.
 */
import type { Clock } from '#shared/platform/platform.ts';
import {
  type Ending,
  LOCKED_CHANNEL,
  type NodeIdentities,
  REVOKED_CHANNEL,
} from '../nodes/identities.ts';
import type { Db } from '../store/db.ts';

/** How far the first look goes back. */
const FIRST_LOOK_SECONDS = 600;
/** Every look begins so long before the one before: a commit may come later than its time. */
const OVERLAP_SECONDS = 60;
/** A session that was being let in when its node was ended is found out within this time. */
const REMEMBERED_MS = 60_000;
export const REMEMBERED_MAX = 10_000;

export interface EndingsOptions {
  readonly db: Db;
  readonly identities: Pick<NodeIdentities, 'onEnded'>;
  readonly clock: Clock;
  /** Ends what there is of the node. May be called again for the same. */
  readonly end: (nodeId: string, ending: Ending) => void;
}

export class Endings {
  readonly #options: EndingsOptions;
  readonly #recent = new Map<string, { readonly ending: Ending; readonly atMs: number }>();
  /** The database's clock at the last look, epoch seconds; null before the first. */
  #looked: number | null = null;

  constructor(options: EndingsOptions) {
    this.#options = options;
  }

  /** @returns what undoes it */
  async start(): Promise<(() => unknown)[]> {
    const { db, identities } = this.#options;
    const heard = (ending: Ending) => (node: string) => {
      // The empty hint: the connection was lost, and words with it.
      if (node === '') void this.look().catch(() => {});
      else this.#ended(node, ending);
    };
    return [
      identities.onEnded((node, ending) => this.#ended(node, ending)),
      await db.listen(REVOKED_CHANNEL, heard('revoked')),
      await db.listen(LOCKED_CHANNEL, heard('locked')),
    ];
  }

  /** Ended a moment ago: whoever is let in now was checked before. */
  recent(nodeId: string): Ending | null {
    const found = this.#recent.get(nodeId);
    const isRecent =
      found !== undefined && this.#options.clock.monotonic() - found.atMs < REMEMBERED_MS;
    return isRecent ? found.ending : null;
  }

  /** @throws DbError; then the next look goes as far back */
  async look(): Promise<void> {
    const { rows } = await this.#options.db.query<{
      id: string | null;
      is_revoked: boolean;
      now: number;
    }>(
      `SELECT n.id, n.revoked_at IS NOT NULL AS is_revoked,
         extract(epoch FROM now())::double precision AS now
       FROM (SELECT 1) AS one LEFT JOIN nodes n
         ON n.revoked_at > coalesce(to_timestamp($1::double precision), now()) - make_interval(secs => $2)
         OR n.locked_at > coalesce(to_timestamp($1::double precision), now()) - make_interval(secs => $2)`,
      [this.#looked, this.#looked === null ? FIRST_LOOK_SECONDS : OVERLAP_SECONDS],
    );
    for (const { id, is_revoked: isRevoked } of rows) {
      if (id !== null) this.#options.end(id, isRevoked ? 'revoked' : 'locked');
    }
    this.#looked = rows[0]?.now ?? null;
  }

  #ended(nodeId: string, ending: Ending): void {
    this.#options.end(nodeId, ending);
    // A lock may be taken back, and the next look finds who slipped through.
    if (ending === 'locked') return;
    const atMs = this.#options.clock.monotonic();
    this.#recent.delete(nodeId);
    this.#recent.set(nodeId, { ending, atMs });
    for (const [oldest, entry] of this.#recent) {
      if (this.#recent.size <= REMEMBERED_MAX && atMs - entry.atMs < REMEMBERED_MS) break;
      this.#recent.delete(oldest);
    }
  }
}
