/**
 * Which group a new node comes into: the one that its join token names, if the node has the labels that the
 * group asks for; without one, the group that asks for most of the labels that it has.
 */
import type { Db } from '../store/db.ts';

type Labels = Readonly<Record<string, string>>;

export interface LabelledGroup {
  readonly id: string;
  readonly name: string;
  /** All of them must be there, with these values. */
  readonly labels: Labels;
}

export type GroupChoice =
  | { readonly ok: true; readonly groupId: string }
  | { readonly ok: false; readonly detail: string };

/** @param named  the token's; null: the labels choose, among groups that ask for any */
export async function chooseGroup(
  db: Db,
  named: string | null,
  labels: Labels,
): Promise<GroupChoice> {
  const { rows } = await db.query<LabelledGroup>(
    `SELECT id, name, labels FROM groups
     WHERE CASE WHEN $1::uuid IS NULL THEN labels <> '{}' ELSE id = $1 END ORDER BY name`,
    [named],
  );
  const [group] = rows;
  return named !== null && group !== undefined ? admit(group, labels) : mostSpecific(rows, labels);
}

export function mostSpecific(groups: readonly LabelledGroup[], labels: Labels): GroupChoice {
  const fitting = groups.filter((group) => missing(group, labels).length === 0);
  const most = Math.max(0, ...fitting.map(countOf));
  const best = fitting.filter((group) => countOf(group) === most);
  const [group, other] = best;
  if (group === undefined) {
    return { ok: false, detail: `no group is for a node with ${wordsOf(labels)}` };
  }
  if (other === undefined) return { ok: true, groupId: group.id };
  const names = best.map(({ name }) => `'${name}'`).join(' and ');
  return {
    ok: false,
    detail: `the groups ${names} are equally for a node with ${wordsOf(labels)}`,
  };
}

function admit(group: LabelledGroup, labels: Labels): GroupChoice {
  const lacking = missing(group, labels);
  if (lacking.length === 0) return { ok: true, groupId: group.id };
  const wanted = wordsOf(Object.fromEntries(lacking));
  return { ok: false, detail: `the group '${group.name}' is for nodes with ${wanted}` };
}

function missing(group: LabelledGroup, labels: Labels): [string, string][] {
  return Object.entries(group.labels).filter(
    ([name, value]) => !Object.hasOwn(labels, name) || labels[name] !== value,
  );
}

function countOf({ labels }: LabelledGroup): number {
  return Object.keys(labels).length;
}

function wordsOf(labels: Labels): string {
  const words = Object.entries(labels).map(([name, value]) => `${name}:${value}`);
  return words.length === 0 ? 'no labels' : `the labels ${words.join(', ')}`;
}
