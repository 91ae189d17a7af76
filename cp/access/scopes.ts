/** What the holder of a token may do, and what a request needs. */
import { defineFields, type RecordOf } from '#shared/schema/infer.ts';

/** Workspaces that one token names. */
const WORKSPACES_MAX = 100;

const LEVELS = ['read', 'write'] as const;

/** Writing includes reading. */
export type AccessLevel = (typeof LEVELS)[number];

/** Any workspace, also one that is made later. */
export const ANY_WORKSPACE = '*';

export const SCOPES = defineFields({
  workspaces: {
    type: 'array',
    required: true,
    default: [],
    len_max: WORKSPACES_MAX,
    description: 'Workspaces whose entities may be read or written.',
    elements: {
      type: 'record',
      required: true,
      fields: {
        workspace: {
          type: 'string',
          required: true,
          len_max: 256,
          description: 'Name of a workspace, or * for all of them.',
        },
        access: { type: 'string', required: true, default: 'read', one_of: LEVELS },
      },
    },
  },
  cluster: {
    type: 'string',
    one_of: LEVELS,
    description: 'Data planes, join tokens, groups, keys and the control planes themselves.',
  },
  admin: {
    type: 'string',
    one_of: LEVELS,
    description: 'Tokens and the audit. Who may write here can give any scope to any token.',
  },
});

export type Scopes = RecordOf<typeof SCOPES>;

export const ALL_SCOPES: Scopes = {
  workspaces: [{ workspace: ANY_WORKSPACE, access: 'write' }],
  cluster: 'write',
  admin: 'write',
};

export const NO_SCOPES: Scopes = { workspaces: [], cluster: null, admin: null };

/** What is asked for: part of the API, how, and for entities in which workspace (a name, or `*`). */
export type Need =
  | { readonly area: 'entities'; readonly workspace: string; readonly access: AccessLevel }
  | { readonly area: 'cluster' | 'admin'; readonly access: AccessLevel };

export function isGranted(scopes: Scopes, need: Need): boolean {
  if (need.area !== 'entities') return includes(scopes[need.area], need.access);
  return scopes.workspaces.some(
    ({ workspace, access }) =>
      (workspace === ANY_WORKSPACE || workspace === need.workspace) &&
      includes(access, need.access),
  );
}

export function areNone({ workspaces, cluster, admin }: Scopes): boolean {
  return workspaces.length === 0 && cluster === null && admin === null;
}

function includes(given: AccessLevel | null, asked: AccessLevel): boolean {
  return given === 'write' || given === asked;
}
