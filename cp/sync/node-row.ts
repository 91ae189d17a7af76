/** A node's record, as far as letting it in depends on it. */
import type { About } from '#shared/wire/frames.ts';
import { clean } from '../nodes/clean.ts';

export interface NodeRow {
  readonly id: string;
  readonly group_id: string;
  readonly group_name: string;
  readonly secret_generation: number;
  readonly clones: string | null;
  readonly public_key: string;
  readonly next_public_key: string | null;
  /** That it has changed for `public_key`. */
  readonly previous_public_key: string | null;
  readonly sealing_key: string;
  readonly join_seq: number;
  readonly join_pending: number | null;
  readonly connected_to: string | null;
  readonly is_revoked: boolean;
  readonly is_locked: boolean;
  /** It should make another one. */
  readonly is_key_old: boolean;
}

/** After them a node is asked for another key. */
export const NODE_KEY_DAYS = 90;

export const NODE_COLUMNS = `n.id, n.group_id, g.name AS group_name, g.secret_generation,
  g.policy ->> 'clones' AS clones, n.public_key, n.next_public_key,
  n.previous_public_key, n.sealing_key, n.join_seq,
  n.join_pending, n.connected_to, n.revoked_at IS NOT NULL AS is_revoked,
  n.locked_at IS NOT NULL AS is_locked,
  n.key_made_at < now() - make_interval(days => ${NODE_KEY_DAYS}) AS is_key_old`;
export const NODE_FROM = 'FROM nodes n JOIN groups g ON g.id = n.group_id';

export function labelsText(labels: About['labels']): string {
  const cleaned = Object.entries(labels ?? {}).map(([name, value]) => [clean(name), clean(value)]);
  return JSON.stringify(Object.fromEntries(cleaned));
}
