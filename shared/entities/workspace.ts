/** A workspace: everything else belongs to one. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { timestampSeconds, utf8Name, uuid } from '../schema/typedefs.ts';

export const workspace = defineEntity({
  name: 'workspaces',
  endpoint_key: 'name',
  workspaceable: false,
  fields: {
    id: uuid,
    name: {
      ...utf8Name,
      required: true,
      // Collections of the Admin API: a path must not mean two things.
      not_one_of: [
        'workspaces',
        'consumers',
        'certificates',
        'services',
        'routes',
        'snis',
        'upstreams',
        'targets',
        'plugins',
        'tags',
        'ca_certificates',
        'clustering_data_planes',
        'parameters',
        'vaults',
        'key_sets',
        'keys',
        'filter_chains',
      ],
    },
    comment: { type: 'string' },
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    meta: { type: 'record', fields: {} },
    config: { type: 'record', fields: {} },
  },
});

export type Workspace = EntityOf<typeof workspace>;
