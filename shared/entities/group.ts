/** A group: data planes that serve the same configuration, and which configuration that is. */
import { defineEntity, defineFields, type EntityOf } from '../schema/infer.ts';
import { isUuid } from '../schema/attributes.ts';
import { tags, timestampSeconds, utf8Name, uuid } from '../schema/typedefs.ts';
import { utf8NameError } from '../schema/validators.ts';

/** Workspaces that one group may name. */
const WORKSPACES_MAX = 1_000;
const TAGS_MAX = 100;

/** A label's name or value, as data planes may have them (`HEADGATE_CLUSTER_DP_LABELS`). */
const label = {
  type: 'string',
  required: true,
  len_max: 63,
  match: '^%w[%w%._%-]*$',
} as const;

/** What a node does when it has had no news for longer than `staleness_seconds`. */
export const STALENESS_POLICIES = ['serve', 'warn', 'close'] as const;

/** How the nodes of a group behave: its settings, as far as they concern nodes. */
export const nodeSettingsFields = defineFields({
  staleness: {
    type: 'string',
    required: true,
    default: 'serve',
    one_of: STALENESS_POLICIES,
    description: 'What a data plane does that has had no news for longer than staleness_seconds.',
  },
  staleness_seconds: {
    type: 'integer',
    required: true,
    default: 3600,
    between: [10, 365 * 24 * 3600],
    description: 'Age of the newest news from which a configuration counts as stale.',
  },
});

export const groupSettingsFields = defineFields({
  ...nodeSettingsFields,
  clones: {
    type: 'string',
    required: true,
    default: 'alert',
    one_of: ['alert', 'lock'],
    description: 'What to do with a data plane whose identity turns up in two places.',
  },
  forget_seconds: {
    type: 'integer',
    required: true,
    default: 14 * 24 * 3600,
    between: [60, 365 * 24 * 3600],
    description: 'How long a data plane that is offline is remembered.',
  },
});

/** It is a folder's name in the fallback storage, and stands where an id may stand. */
function nameError(name: string): string | null {
  if (/^\.\.?$/.test(name)) return `invalid value '${name}': a name is more than dots`;
  if (isUuid(name)) return `invalid value '${name}': a name is no id`;
  return utf8NameError(name);
}

export const group = defineEntity({
  name: 'clustering_groups',
  admin_api_name: 'clustering/groups',
  endpoint_key: 'name',
  workspaceable: false,
  wire: false,
  fields: {
    id: uuid,
    name: {
      ...utf8Name,
      required: true,
      // Nodes, tokens and manifests know it by its name.
      immutable: true,
      custom_validator: nameError,
      description: 'Name of the group. It stays what it is.',
    },
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    workspaces: {
      type: 'set',
      len_min: 1,
      len_max: WORKSPACES_MAX,
      elements: { type: 'string', required: true },
      description:
        'Workspaces that its data planes serve, by name or id. Without: all, also those made later.',
    },
    tags: {
      ...tags,
      len_min: 1,
      len_max: TAGS_MAX,
      description:
        'Its data planes serve the routes that carry one of these, and what those need. Without: all.',
    },
    labels: {
      type: 'map',
      keys: label,
      values: label,
      len_max: 10,
      description: 'Labels that a data plane must have to join it.',
    },
    settings: {
      type: 'record',
      required: true,
      fields: groupSettingsFields,
      description: 'How its data planes are treated, and how they behave.',
    },
  },
});

export type Group = EntityOf<typeof group>;
