/** An SNI: the server name for which a certificate is served. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid, wildcardHost } from '../schema/typedefs.ts';

export const sni = defineEntity({
  name: 'snis',
  endpoint_key: 'name',
  workspaceable: true,
  fields: {
    id: uuid,
    name: {
      ...wildcardHost,
      required: true,
      unique: true,
      // A TLS handshake knows no workspace.
      unique_across_ws: true,
      description: 'Host name, with at most one * at either end.',
    },
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    tags,
    certificate: { type: 'foreign', reference: 'certificates', required: true },
  },
});

export type Sni = EntityOf<typeof sni>;
