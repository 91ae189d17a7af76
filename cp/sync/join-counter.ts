/**
 * The join counter (decision 14): what exposes that a node's state was copied.
 *
 * Two numbers are in force at most: the one that the node has confirmed, and the one that it was handed
 * out after it and may or may not have kept. Presenting the second counts as confirming it. So an
 * honest node can be killed at any step, and one of the two is what it presents next. As soon as one
 * of two holders of the same state has confirmed a number, the other one's is retired, and shows it.
 *
 * Numbers grow by chance, so that a thief of a cold copy cannot guess the one in force. While one is
 * handed out and not confirmed, the same is handed out again: a node that kept it without our hearing
 * of it is right too.
 */
import type { Random } from '#shared/platform/platform.ts';

/** A guess at the number in force is right once in so many, and each wrong one raises the alarm. */
export const JOIN_STEP_MAX = 2 ** 20;

/** A number after this one: at one join every five seconds they last for some thousand years. */
export function laterJoin(joinSeq: number, random: Random): number {
  const step = 1 + Math.floor(random.next() * JOIN_STEP_MAX);
  return Math.min(Number.MAX_SAFE_INTEGER, joinSeq + step);
}

/** What a group does about a node whose state was copied. */
export type ClonePolicy = 'alert' | 'lock';

export function clonePolicyOf(text: string | null): ClonePolicy {
  return text === 'lock' ? 'lock' : 'alert';
}

/**
 * Lets a node in, if its number is in force; one statement, so that two control planes at once agree.
 *
 * $1 node, $2 number presented, $3 number after it. A number above all that were handed out is taken
 * where the database has lost the end of its history (a new epoch that the node has not seen yet).
 */
export const ADMIT_JOIN = `
  join_seq = $2,
  join_pending = CASE WHEN $2 = n.join_seq AND NOT n.join_open
    THEN coalesce(n.join_pending, $3) ELSE $3 END,
  join_open = false, joined_at = now()`;

export const IS_IN_FORCE = `(n.join_open OR $2 = n.join_seq OR $2 = n.join_pending
  OR ($2 > greatest(n.join_seq, coalesce(n.join_pending, 0)) AND n.epoch < g.epoch))`;
