/**
 * The join counter (decision 14): what exposes that a node's state was copied.
 *
 * In force are the number that the node has confirmed, and those that it was handed out after it and may
 * or may not have kept. Presenting one of these counts as confirming it. So an honest node can be killed
 * at any step, and one of them is what it presents next. As soon as one of two holders of the same state
 * has confirmed a number, all others are retired, and whoever has one shows it.
 *
 * Numbers grow by chance, so that a thief of a cold copy cannot guess the one in force. None is handed
 * out twice: a copy that never confirms any would else be given what the honest node is.
 */
import type { Random } from '#shared/platform/platform.ts';

/** A guess at the number in force is right once in so many, and each wrong one raises the alarm. */
export const JOIN_STEP_MAX = 2 ** 20;

/** By how much the next number is larger: at one join every five seconds they last for some thousand years. */
export function joinStep(random: Random): number {
  return 1 + Math.floor(random.next() * JOIN_STEP_MAX);
}

/** Numbers handed out and not confirmed that are remembered: so many hellos of one node may overlap. */
export const HANDED_MAX = 8;

/** Above all that were handed out. @param from  SQL: the number presented  @param step  SQL */
const nextJoin = (from: string, step: string): string =>
  `least(greatest(${from}::bigint, coalesce(n.join_pending, 0)) + ${step}::bigint, ${Number.MAX_SAFE_INTEGER})`;

/** Another number beside those that were handed out; the oldest of them make room. */
const handed = (next: string): string =>
  `array_append(ARRAY(SELECT h FROM unnest(n.join_handed) AS h ORDER BY h DESC
    LIMIT ${HANDED_MAX - 1}), ${next})`;

/** What a group does about a node whose state was copied. */
export type ClonePolicy = 'alert' | 'lock';

export function clonePolicyOf(text: string | null): ClonePolicy {
  return text === 'lock' ? 'lock' : 'alert';
}

const NEXT = nextJoin('$2', '$3');

/**
 * Lets a node in, if its number is in force; one statement, so that two control planes at once agree.
 *
 * $1 node, $2 number presented, $3 step to the number after it. A number above all that were handed out is
 * taken where the database has lost the end of its history (a new epoch that the node has not seen yet).
 */
export const ADMIT_JOIN = `
  join_seq = $2, join_pending = ${NEXT},
  join_handed = CASE WHEN $2 = n.join_seq AND NOT n.join_open THEN ${handed(NEXT)} ELSE ARRAY[${NEXT}] END,
  join_open = false, joined_at = now()`;

export const IS_IN_FORCE = `(n.join_open OR $2 = n.join_seq OR $2 = n.join_pending OR $2 = ANY(n.join_handed)
  OR ($2 > greatest(n.join_seq, coalesce(n.join_pending, 0)) AND n.epoch < g.epoch))`;

const NEXT_ENROLLED = nextJoin('n.join_seq', '$4');

/** Another number for a node that enrols once more; $4 the step to it. */
export const ENROL_AGAIN = `join_pending = ${NEXT_ENROLLED}, join_handed = ${handed(NEXT_ENROLLED)}`;

/** $1 node, $2 number that it has kept. */
export const CONFIRM_JOIN = `
  UPDATE nodes SET join_seq = $2, join_pending = NULL, join_handed = '{}'
  WHERE id = $1 AND (join_pending = $2 OR $2 = ANY(join_handed))`;
