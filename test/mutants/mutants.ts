/**
 * The code broken on purpose, each time in a way that tests beside it are there to notice: a text in the
 * place of another. `node test/mutants/run.ts [name…]` runs those tests on a copy of the sources, and fails
 * when one of these is not caught.
 */
import type { Change } from '../chaos/mutants.ts';
import { CLUSTER_MUTANTS } from './cluster.ts';

export interface Mutant {
  readonly changes: readonly Change[];
  readonly project: 'unit' | 'embedded' | 'servers' | 'whole';
  /** The test file that fails. */
  readonly test: string;
}

const SELECTION = { project: 'embedded', test: 'cp/changes/selection.db.test.ts' } as const;
const GROUPS = { project: 'embedded', test: 'cp/sync/groups.db.test.ts' } as const;
const COST = { project: 'servers', test: 'cp/changes/cost.slow.test.ts' } as const;

function one(file: string, find: string, replace: string): readonly Change[] {
  return [{ file, find, replace }];
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  ...CLUSTER_MUTANTS,
  'a selector leaves what follows a route where it was': {
    ...SELECTION,
    changes: one(
      'cp/changes/selection.ts',
      'await this.#addFollowers(kind, moved, found);',
      'void moved;',
    ),
  },
  'what a route needs is not looked at with it': {
    ...SELECTION,
    changes: one('cp/changes/selection.ts', 'touched.filter((need) => !held.has(need)),', '[],'),
  },
  'what is needed counts its own need as another’s': {
    ...SELECTION,
    changes: one('cp/changes/selection.ts', '#needed(touched, { kind, ids })', '#needed(touched)'),
  },
  'authorities are looked at only when they change': {
    ...SELECTION,
    changes: one(
      'cp/changes/publication.ts',
      'from !== shared || context.authorities.size > 0',
      'from !== shared',
    ),
  },
  'tags select plugins too': {
    ...SELECTION,
    changes: one(
      'cp/changes/selection.ts',
      "if (definition.name === 'routes') {",
      "if (['routes', 'plugins'].includes(definition.name)) {",
    ),
  },
  'another selector is taken for the same': {
    ...SELECTION,
    changes: one(
      'cp/changes/publication.ts',
      'isAnew: !isSameSecret || !isSameSelector(group),',
      'isAnew: !isSameSecret,',
    ),
  },
  'certificates under a wildcard are not needed by plain names': {
    project: 'unit',
    test: 'cp/changes/server-names.test.ts',
    changes: one(
      'cp/changes/server-names.ts',
      'return [`=${host}`, ...above];',
      'return [`=${host}`];',
    ),
  },
  'every change reads the whole slice': {
    ...COST,
    changes: one(
      'cp/changes/slice.ts',
      'const changed = from === null ? null : await readChanged(context, ws, from, to);',
      'const changed = await readChanged(context, ws, from ?? 0, to).then(() => null);',
    ),
  },
  'every group is published at every poll': {
    ...COST,
    changes: one('cp/changes/group-state.ts', 'OR g.published <> due.versions OR', 'OR true OR'),
  },
  'settings are published with the next entity only': {
    ...GROUPS,
    changes: one(
      'cp/changes/group-state.ts',
      'g.published <> due.versions OR g.published_as IS DISTINCT FROM ${PUBLISHED_AS}',
      'g.published <> due.versions',
    ),
  },
  'tree nodes are for whoever knows their hash': {
    ...GROUPS,
    changes: one(
      'cp/sync/node-cache.ts',
      "'SELECT id, text FROM group_nodes WHERE group_id = $1 AND id",
      "'SELECT id, text FROM group_nodes WHERE $1::uuid IS NOT NULL AND id",
    ),
  },
  'a node is of the group that it claims': {
    ...GROUPS,
    changes: one(
      'cp/sync/authenticator.ts',
      'if (frame.group !== node.group_name && frame.group !== node.group_id)',
      'if (frame.group === "")',
    ),
  },
  'a token opens its group whatever the labels': {
    ...GROUPS,
    changes: one(
      'cp/nodes/group-choice.ts',
      'if (lacking.length === 0) return',
      'if (lacking.length >= 0) return',
    ),
  },
};
