/** A certificate with its private key, served by its SNIs or presented to upstreams. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid, wildcardHost } from '../schema/typedefs.ts';

export const certificate = defineEntity({
  name: 'certificates',
  workspaceable: true,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    cert: {
      type: 'string',
      required: true,
      referenceable: true,
      description: 'Certificate in PEM form; intermediates may follow it.',
    },
    key: {
      type: 'string',
      required: true,
      referenceable: true,
      encrypted: true,
      secret: 'sealed',
      description: 'Private key of the certificate, in PEM form.',
    },
    cert_alt: {
      type: 'string',
      required: false,
      referenceable: true,
      description: 'A second certificate, with a key of another type (RSA and ECDSA).',
    },
    key_alt: {
      type: 'string',
      required: false,
      referenceable: true,
      encrypted: true,
      secret: 'sealed',
    },
    tags,
    snis: {
      type: 'array',
      elements: wildcardHost,
      required: false,
      transient: true,
      description: 'Names of its SNIs, which are entities of their own.',
    },
  },
  entity_checks: [
    { mutually_required: ['cert_alt', 'key_alt'] },
    // What PEM says takes cryptography: the control plane's rules check it.
    { custom_entity_check: { field_sources: ['cert', 'key'] } },
    { custom_entity_check: { field_sources: ['cert_alt', 'key_alt'] } },
    { custom_entity_check: { field_sources: ['cert', 'cert_alt'] } },
  ],
});

export type Certificate = EntityOf<typeof certificate>;
