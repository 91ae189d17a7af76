/** Settings of an edge data plane: variables and secrets of the Worker. */
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { COMMON_SETTINGS, CORE_SETTINGS } from './common.ts';
import { controlPlaneError, joinTokenError, keyError } from './validators.ts';

function prefixError(text: string): string | null {
  return /^\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$/.test(text)
    ? null
    : 'a path that starts with / and does not end with it, such as /_headgate';
}

function deploymentError(text: string): string | null {
  return /^[A-Za-z0-9._-]{1,63}$/.test(text)
    ? null
    : '1 to 63 letters, digits, dots, dashes and underscores';
}

export const EDGE_SETTINGS = defineFields({
  HEADGATE_DEPLOYMENT: {
    type: 'string',
    required: true,
    default: 'default',
    custom_validator: deploymentError,
    description:
      'Name of this deployment: its node identity and its keys in KV. One per environment.',
  },
  HEADGATE_CONTROL_PLANES: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: controlPlaneError },
    description:
      'Addresses of the control planes, tried in turn. https:// pulls instead of WebSocket.',
  },
  HEADGATE_JOIN_TOKEN: {
    type: 'string',
    encrypted: true,
    custom_validator: joinTokenError,
    description: 'Join token for the first enrolment; not needed once the hub has its identity.',
  },
  HEADGATE_BOOT_KEY: {
    type: 'string',
    encrypted: true,
    custom_validator: keyError,
    description:
      'Encrypts the group secret in KV, so that an isolate starts complete without the hub.',
  },
  HEADGATE_STATUS_PREFIX: {
    type: 'string',
    required: true,
    default: '/_headgate',
    custom_validator: prefixError,
    description: 'Reserved path prefix of /status and /status/ready.',
  },
  HEADGATE_STATUS_TOKEN: {
    type: 'string',
    encrypted: true,
    description: 'Bearer token of /status; without it that address answers 404.',
  },
  ...CORE_SETTINGS,
  HEADGATE_LOG_LEVEL: COMMON_SETTINGS.HEADGATE_LOG_LEVEL,
  HEADGATE_MAX_ISOLATE_AGE_SECONDS: {
    type: 'integer',
    required: true,
    default: 60,
    between: [1, 86400],
    description: 'An isolate that has not heard from the hub for longer asks before it answers.',
  },
});

export type EdgeSettings = RecordOf<typeof EDGE_SETTINGS>;
