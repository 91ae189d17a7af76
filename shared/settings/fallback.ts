/** Settings of the fallback storage, named after Kong's `cluster_fallback_config_storage`. */
import { defineFields } from '../schema/infer.ts';

/** Plain `http://` on loopback only, like everything else. */
function storageError(url: string): string | null {
  if (/^https:\/\/[^\s/@?#]+(\/[^\s?#]*)?$/.test(url)) return null;
  if (/^http:\/\/(localhost|127\.[\d.]+|\[::1\])(:\d+)?(\/[^\s?#]*)?$/.test(url)) return null;
  if (/^file:\/\/\/[^\s?#]+$/.test(url)) return null;
  return 'https://endpoint/bucket/prefix of an S3-compatible store, or file:///folder';
}

export const FALLBACK_SETTINGS = defineFields({
  HEADGATE_CLUSTER_FALLBACK_CONFIG_STORAGE: {
    type: 'string',
    custom_validator: storageError,
    description:
      'Where control planes keep a signed copy of every configuration, and data planes that have none start from while no control plane answers: https://endpoint/bucket/prefix (S3-compatible), or file:///folder.',
  },
  HEADGATE_CLUSTER_FALLBACK_CONFIG_KEY_ID: {
    type: 'string',
    description:
      'Access key id for that storage. Unset: requests are not signed, and it can only be read.',
  },
  HEADGATE_CLUSTER_FALLBACK_CONFIG_SECRET: {
    type: 'string',
    encrypted: true,
    description: 'Secret access key for that storage.',
  },
  HEADGATE_CLUSTER_FALLBACK_CONFIG_REGION: {
    type: 'string',
    required: true,
    default: 'us-east-1',
    description: 'Region that requests to that storage are signed for.',
  },
});
