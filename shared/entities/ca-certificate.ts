/** A certificate authority that upstreams or clients are verified against; for all workspaces. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../schema/typedefs.ts';

export const caCertificate = defineEntity({
  name: 'ca_certificates',
  workspaceable: false,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    cert: { type: 'string', required: true, description: 'One CA certificate in PEM form.' },
    cert_digest: {
      type: 'string',
      unique: true,
      description: 'SHA-256 of the certificate in DER form, in hex; computed, whatever was sent.',
    },
    tags,
  },
  entity_checks: [
    // What PEM says takes cryptography: the control plane's rules check it.
    { custom_entity_check: { field_sources: ['cert'] } },
  ],
});

export type CaCertificate = EntityOf<typeof caCertificate>;
