/** Ways to break what two releases of one cluster have in common. */
import type { Mutant } from './mutants.ts';

const LEVELS = { project: 'embedded', test: 'cp/changes/levels.db.test.ts' } as const;
const NODES = { project: 'embedded', test: 'cp/sync/levels.db.test.ts' } as const;
const STORE = { project: 'embedded', test: 'cp/store/store.db.test.ts' } as const;
const ROLLING = {
  project: 'servers',
  test: 'test/upgrade/rolling-upgrade.slow.test.ts',
} as const;

const AS_A_WHOLE = [
  {
    file: 'cp/changes/group-state.ts',
    find: "${isPublishedAs('$2')} AS is_same,",
    replace: "coalesce(g.published_as = ${publishedAs('g.revision', '$2')}, false) AS is_same,",
  },
  {
    file: 'cp/changes/group-state.ts',
    find: "OR NOT ${isPublishedAs('$2')}",
    replace: "OR g.published_as IS DISTINCT FROM ${publishedAs('g.revision', '$2')}",
  },
];

const NEWEST_ONLY = [
  {
    file: 'cp/changes/publication.ts',
    find: 'if (levels.down === null) return { tree: null, withheld: null };',
    replace: 'if (levels.newest > 0) return { tree: null, withheld: null };',
  },
];

export const LEVEL_MUTANTS = {
  'only the newest schema level is published': { ...LEVELS, changes: NEWEST_ONLY },
  'data planes of the release before are forgotten': { ...ROLLING, changes: NEWEST_ONLY },
  'what was published is compared as a whole': { ...LEVELS, changes: AS_A_WHOLE },
  'control planes of two releases publish in turns': { ...ROLLING, changes: AS_A_WHOLE },
  'what an older release did not compare counts as the same': {
    ...LEVELS,
    changes: [
      {
        file: 'cp/changes/group-state.ts',
        find: 'ELSE g.published_as -> e.key = e.value END, false))',
        replace: 'ELSE g.published_as -> e.key = e.value END, true))',
      },
    ],
  },
  'more than is due was not published': {
    ...LEVELS,
    changes: [
      {
        file: 'cp/changes/publication.ts',
        find: '(published[ws] ?? -1) >= version',
        replace: '(published[ws] ?? -1) === version',
      },
    ],
  },
  'a workspace that another release dropped stays': {
    ...LEVELS,
    changes: [
      {
        file: 'cp/changes/publication.ts',
        find: 'at.isAnew ? await heldWorkspaces(context) : Object.keys(at.published)',
        replace: 'Object.keys(at.published)',
      },
    ],
  },
  'an unfit record is left out instead of the version': {
    ...LEVELS,
    changes: [
      {
        file: 'cp/changes/levels.ts',
        find: "if (body === 'unfit') return { unfit: record };",
        replace: "if (body === 'unfit') continue;",
      },
    ],
  },
  'a delta is counted on that does not follow': {
    ...LEVELS,
    changes: [
      {
        file: 'cp/changes/publication.ts',
        find: 'before.revision === revision - 1;',
        replace: 'before.revision < revision;',
      },
    ],
  },
  'every node is sent the newest level': {
    ...NODES,
    changes: [
      {
        file: 'cp/changes/levels.ts',
        find: 'publishedLevels(levels).find((published) => published <= level) ?? null',
        replace: 'publishedLevels(levels).find((published) => level >= 0 && published > 0) ?? null',
      },
    ],
  },
  'a node that is kept from a version is shown as in sync': {
    ...NODES,
    changes: [
      {
        file: 'cp/nodes/node-view.ts',
        find: "if (!row.is_served) return 'kong_version_incompatible';",
        replace: '',
      },
    ],
  },
  'a change takes away what only the next release knows': {
    ...STORE,
    changes: [
      {
        file: 'cp/store/sql.ts',
        find: '${strangers} || ${value}::jsonb',
        replace: '${value}::jsonb',
      },
    ],
  },
  'a control plane reads only manifests of its own release': {
    ...NODES,
    changes: [
      {
        file: 'shared/config/manifest.ts',
        find: 'parseRecord(manifestFields, known(value))',
        replace: 'parseRecord(manifestFields, value)',
      },
    ],
  },
  'the same revision at another level is refused': {
    project: 'unit',
    test: 'shared/config/replica.test.ts',
    changes: [
      {
        file: 'shared/config/replica.ts',
        find: "if (order === 0 && head.level !== held.level) return 'newer';",
        replace: '',
      },
    ],
  },
} as const satisfies Readonly<Record<string, Mutant>>;
