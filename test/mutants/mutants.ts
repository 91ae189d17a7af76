/**
 * The code broken on purpose, each time in a way that tests beside it are there to notice: a text in the
 * place of another. `node test/mutants/run.ts [name…]` runs those tests on a copy of the sources, and fails
 * when one of these is not caught.
 */
import type { Change } from '../chaos/mutants.ts';
import { CLUSTER_MUTANTS } from './cluster.ts';
import { LEVEL_MUTANTS } from './levels.ts';
import { RECEIPT_MUTANTS } from './receipts.ts';
import { THIEF_MUTANTS } from './thief.ts';

export interface Mutant {
  readonly changes: readonly Change[];
  readonly project: 'unit' | 'embedded' | 'servers' | 'whole';
  /** The test file that fails. */
  readonly test: string;
}

const SELECTION = { project: 'embedded', test: 'cp/changes/selection.db.test.ts' } as const;
const GROUPS = { project: 'embedded', test: 'cp/sync/groups.db.test.ts' } as const;
const COST = { project: 'servers', test: 'cp/changes/cost.slow.test.ts' } as const;

const CRASHES = { project: 'servers', test: 'node-dp/crash.slow.test.ts' } as const;
const BREAKER = { project: 'unit', test: 'shared/sync/breaker.test.ts' } as const;
const FRESHNESS = { project: 'unit', test: 'shared/sync/freshness.test.ts' } as const;
const LAST_GOOD = { project: 'unit', test: 'shared/tables/last-good.test.ts' } as const;
const POISON = { project: 'unit', test: 'shared/tables/malformed.test.ts' } as const;

function one(file: string, find: string, replace: string): readonly Change[] {
  return [{ file, find, replace }];
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  ...CLUSTER_MUTANTS,
  ...LEVEL_MUTANTS,
  ...RECEIPT_MUTANTS,
  ...THIEF_MUTANTS,
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
      'const isAnew = !isSameSecret || !isSameSelector(group) || !isInStep;',
      'const isAnew = !isSameSecret || !isInStep;',
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
      "g.published <> due.versions OR NOT ${isPublishedAs('$2')}",
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
  'a trial is not written down': {
    ...BREAKER,
    changes: one('shared/sync/breaker.ts', 'await this.#begin(asked);', ''),
  },
  'a configuration is condemned by its first crash': {
    ...BREAKER,
    changes: one(
      'shared/sync/breaker.ts',
      'export const TRIALS_MAX = 2;',
      'export const TRIALS_MAX = 1;',
    ),
  },
  'a trial outlives an orderly end': {
    ...BREAKER,
    changes: one(
      'shared/sync/breaker.ts',
      'if (this.#record.trials.length > 0) await',
      'if (false) await',
    ),
  },
  'an older configuration that serves well forgives a newer one that crashed': {
    ...BREAKER,
    changes: one(
      'shared/sync/breaker.ts',
      'filter((known) => isNewer(known, served))',
      'filter(() => false)',
    ),
  },
  'a disk that hangs holds configurations up': {
    ...BREAKER,
    changes: one(
      'shared/sync/breaker.ts',
      'await Promise.race([written, late]);',
      'await written;',
    ),
  },
  'freshness is measured by the wall clock': {
    ...FRESHNESS,
    changes: one(
      'shared/sync/freshness-keeper.ts',
      'return this.#provenAtMs === null ? null : clock.monotonic() - this.#provenAtMs;',
      'return client.served === null ? null : this.#ageByWall(client.served);',
    ),
  },
  'a proof of freshness may be about any nonce': {
    ...FRESHNESS,
    changes: one('shared/sync/freshness.ts', ' && about === nonce', ''),
  },
  'a proof of freshness is taken unsigned': {
    ...FRESHNESS,
    changes: one('shared/sync/freshness.ts', 'if (!isSigned) return null;', ''),
  },
  'any proof of freshness counts for what is served': {
    ...FRESHNESS,
    changes: one(
      'shared/sync/freshness-keeper.ts',
      'if (claim.hash !== hash && claim.hash !== client.refused) return;',
      'void hash;',
    ),
  },
  'a wall clock that was set back makes a restarted node fresh': {
    ...FRESHNESS,
    changes: one(
      'shared/sync/freshness-keeper.ts',
      'return ageMs < -CLOCK_SLACK_MS ? Number.POSITIVE_INFINITY : Math.max(0, ageMs);',
      'return Math.max(0, ageMs);',
    ),
  },
  'what a control plane proves is as new as its answer': {
    ...FRESHNESS,
    changes: one('shared/sync/freshness-keeper.ts', 'sentMs - said.age_ms', 'sentMs'),
  },
  'a protecting plugin that cannot be built is left out': {
    ...LAST_GOOD,
    changes: one(
      'shared/tables/build-plugins.ts',
      "const broken: InstanceState = isInert ? 'inert' : 'closed';",
      "const broken: InstanceState = 'inert';",
    ),
  },
  'a protecting plugin has no last good form': {
    ...LAST_GOOD,
    changes: one(
      'shared/tables/build-plugins.ts',
      'return isSameScope ? before : null;',
      'return null;',
    ),
  },
  'the last good form of a plugin goes wherever the plugin goes': {
    ...LAST_GOOD,
    changes: one(
      'shared/tables/build-plugins.ts',
      'return isSameScope ? before : null;',
      'return before;',
    ),
  },
  'a build that fails throws': {
    project: 'unit',
    test: 'shared/tables/failpoints.test.ts',
    changes: one(
      'shared/tables/build.ts',
      'return { ok: false, entity: null, detail: messageOf(error) };',
      'throw error;',
    ),
  },
  'a plugin that does not say where it applies applies everywhere': {
    ...POISON,
    changes: one('shared/tables/build-plugins.ts', ' ?? scopeFault(record)', ''),
  },
  'a route that is not well-formed is served as far as it can be read': {
    ...POISON,
    changes: one(
      'shared/tables/routes.ts',
      'this.fault = fault ?? faultOf(this, env);',
      'void fault;\n    this.fault = faultOf(this, env);',
    ),
  },
  'what could not be saved is not tried again': {
    project: 'unit',
    test: 'shared/sync/client.test.ts',
    changes: one(
      'shared/sync/client.ts',
      'if (outcome.ok && !persisted) this.#saveLater(state);',
      '',
    ),
  },
  'what the node crashed with is never tried for want of anything else': {
    ...CRASHES,
    changes: one('node-dp/config-keeper.ts', 'this.#serveAfterAll(state);', 'void state;'),
  },
  'what the node crashed with does not wait for another one': {
    ...CRASHES,
    changes: one(
      'node-dp/config-keeper.ts',
      'this.#served === null && this.#isDue,',
      'this.#served === null,',
    ),
  },
  'each try of what the node crashed with comes as soon as the one before': {
    ...BREAKER,
    changes: one(
      'shared/sync/breaker.ts',
      'this.#write(withResort(this.#record, hash, 1))',
      'Promise.resolve()',
    ),
  },
  'a node on return does not say whether what it serves is saved': {
    project: 'unit',
    test: 'shared/sync/client.test.ts',
    changes: one('shared/sync/machine.ts', ', ...ackOf(next, isPull)] : [];', '] : [];'),
  },
  'a large publication is put together in one piece': {
    project: 'servers',
    test: 'cp/changes/stalls.slow.test.ts',
    changes: [
      ...one('cp/changes/stored-level.ts', 'if (length > DELTA_LENGTH_MAX) return null;', ''),
      ...one('cp/changes/stored-level.ts', 'inSlices(diff, nodeBreaks())', 'inSlices(diff, NEVER)'),
      ...one(
        'cp/changes/stored-level.ts',
        'const NODE_BATCH = 100;',
        'const NODE_BATCH = 100;\nconst NEVER = { due: () => null };',
      ),
      ...one('cp/changes/slice.ts', 'inSlices(byKey(rows), nodeBreaks())', 'atOnce(byKey(rows))'),
      ...one(
        'cp/changes/slice.ts',
        "import { inSlices, type Sliced } from '#shared/base/slices.ts';",
        "import { atOnce, inSlices, type Sliced } from '#shared/base/slices.ts';",
      ),
    ],
  },
  'a frame of tree nodes may be of any size': {
    project: 'embedded',
    test: 'cp/sync/node-cache.db.test.ts',
    changes: one(
      'cp/sync/node-cache.ts',
      'const FRAME_BYTES_MAX = 1024 * 1024;',
      'const FRAME_BYTES_MAX = Infinity;',
    ),
  },
};
