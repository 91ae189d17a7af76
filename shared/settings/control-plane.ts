/** Settings of the control plane. */
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { COMMON_SETTINGS, ROUTER_FLAVORS } from './common.ts';
import { FALLBACK_SETTINGS } from './fallback.ts';
import { listenError } from './listen.ts';
import { cidrError, controlPlaneError, keyError } from './validators.ts';

const listen = { type: 'string', custom_validator: listenError } as const;

function databaseUrlError(url: string): string | null {
  return /^postgres(ql)?:\/\/\S+$/.test(url)
    ? null
    : 'expected a URL postgres://user@host/database';
}

function originError(origin: string): string | null {
  return /^https?:\/\/[^\s/]+$/.test(origin) ? null : 'origins such as https://admin.example.com';
}

function tokenError(text: string): string | null {
  return /^[\x21-\x7e]{16,256}$/.test(text) ? null : 'expected 16 to 256 printable characters';
}

export const CONTROL_PLANE_SETTINGS = defineFields({
  ...COMMON_SETTINGS,
  HEADGATE_ADMIN_LISTEN: {
    type: 'array',
    required: true,
    default: ['127.0.0.1:8001', '127.0.0.1:8444 ssl'],
    elements: listen,
    description:
      'Addresses of the Admin API. Beyond loopback it needs a token (HEADGATE_ADMIN_TOKEN or a named one), and ssl or HEADGATE_TRUSTED_TERMINATOR.',
  },
  HEADGATE_CLUSTER_LISTEN: {
    type: 'array',
    required: true,
    default: ['127.0.0.1:8005'],
    elements: listen,
    description:
      'Addresses of the cluster endpoint that data planes dial. Beyond loopback it needs ssl or HEADGATE_TRUSTED_TERMINATOR.',
  },
  HEADGATE_LISTEN: {
    type: 'array',
    elements: listen,
    description:
      'One port for everything, by path: /admin, /cluster. Set it instead of the two above where a platform gives one port.',
  },
  HEADGATE_TRUSTED_TERMINATOR: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: cidrError },
    description:
      'Addresses of the TLS terminators in front. Only from them is plain text taken beyond loopback.',
  },
  HEADGATE_DATABASE_URL: {
    type: 'string',
    encrypted: true,
    custom_validator: databaseUrlError,
    description:
      'PostgreSQL to keep the state in. Unset: an embedded development database in the data folder.',
  },
  HEADGATE_CLUSTER_DATABASE_URL: {
    type: 'string',
    encrypted: true,
    custom_validator: databaseUrlError,
    description:
      'The same database by a role without rights (CREATE ROLE … LOGIN), for the cluster endpoint. It is granted at every start what sessions of data planes need, and nothing of entities or of tokens of the Admin API. Unset: as HEADGATE_DATABASE_URL.',
  },
  HEADGATE_DATABASE_DRIVER: {
    type: 'string',
    one_of: ['pglite', 'postgres', 'neon'],
    description: 'How to reach it. Unset: by the URL (neon for *.neon.tech, else postgres).',
  },
  HEADGATE_DATABASE_MOVED: {
    type: 'string',
    required: true,
    default: 'stop',
    one_of: ['stop', 'take-over'],
    description:
      "What to do with a database that is a copy of this cluster's on another server, or a branch of it: stop, because two of them would contend for the data planes, or take over in a new epoch. To be set for one start.",
  },
  HEADGATE_ADMIN_TOKEN: {
    type: 'string',
    encrypted: true,
    custom_validator: tokenError,
    description:
      'Token with all scopes (Kong-Admin-Token or Authorization: Bearer), to make named ones with. Once it is set, nobody comes in without a token.',
  },
  HEADGATE_ADMIN_LOOPBACK: {
    type: 'string',
    required: true,
    default: 'on',
    one_of: ['on', 'off'],
    description:
      'Whether this machine needs no token, as long as HEADGATE_ADMIN_TOKEN is not set. A request that a proxy forwarded always needs one.',
  },
  HEADGATE_AUDIT_DAYS: {
    type: 'integer',
    required: true,
    default: 400,
    between: [1, 36500],
    description: 'How long the audit of the Admin API is kept.',
  },
  HEADGATE_ADMIN_TLS_CERT: {
    type: 'string',
    description:
      'PEM file with the certificate chain of the Admin API, where it is another one than HEADGATE_TLS_CERT. With neither, a listener on loopback has a self-signed one, made in the data folder (admin-tls.pem). Changed files are taken over while running.',
  },
  HEADGATE_ADMIN_TLS_KEY: {
    type: 'string',
    description: 'PEM file with the private key of HEADGATE_ADMIN_TLS_CERT.',
  },
  HEADGATE_ADMIN_HOSTS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string' },
    description: 'Further names in the Host header that the Admin API answers to without a token.',
  },
  HEADGATE_ADMIN_ORIGINS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: originError },
    description: 'Origins of web pages that may use the Admin API.',
  },
  HEADGATE_ADMIN_BODY_MAX: {
    type: 'integer',
    required: true,
    default: 1048576,
    between: [1024, 134217728],
    description: 'Longest body of an Admin API request, in bytes.',
  },
  HEADGATE_CONFIG_DROP_MAX_PERCENT: {
    type: 'integer',
    required: true,
    default: 50,
    between: [0, 100],
    description:
      'Share of the entities of a workspace that POST /config may remove without ?force=true. Ten may always go.',
  },
  HEADGATE_ALLOW_UNSUPPORTED_PLUGINS: {
    type: 'boolean',
    required: true,
    default: false,
    description:
      'Store plugins that no data plane can run yet. Their scope answers 503; a global one stops updates.',
  },
  HEADGATE_ROUTER_FLAVOR: {
    type: 'string',
    required: true,
    default: 'traditional_compatible',
    one_of: ROUTER_FLAVORS,
    description:
      'Whether routes may also match by an expression (expressions). Data planes need the same setting; one without answers 503 on such routes.',
  },
  HEADGATE_SECRETS_WRITE_ONLY: {
    type: 'boolean',
    required: true,
    default: false,
    description:
      'Show a secret once, to whoever writes it first; later reads show ******, which may be sent back unchanged. decK cannot compare what it cannot read.',
  },
  HEADGATE_CLUSTER_MTLS: {
    type: 'string',
    required: true,
    default: 'off',
    one_of: ['off', 'shared', 'pki'],
    description:
      'Certificate that data planes must show, beside proving their own key. shared: one of those in HEADGATE_CLUSTER_CERT; pki: one that HEADGATE_CLUSTER_CA_CERT signed. Needs cluster listeners with ssl.',
  },
  HEADGATE_CLUSTER_CERT: {
    type: 'string',
    description:
      'PEM file of the certificates that data planes may show (HEADGATE_CLUSTER_MTLS=shared): old and new together while they are replaced. Changes are taken over while running.',
  },
  HEADGATE_CLUSTER_CA_CERT: {
    type: 'string',
    description:
      'PEM file of the CA that signs the certificates of data planes (HEADGATE_CLUSTER_MTLS=pki). Changes are taken over while running.',
  },
  HEADGATE_CLUSTER_HOSTS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string' },
    description:
      'Names by which data planes dial this control plane, where a proxy in front rewrites the Host header.',
  },
  HEADGATE_CLUSTER_URLS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: controlPlaneError },
    description:
      'Addresses (wss://) by which data planes reach this control plane. They are told of them, spread over all control planes, and go elsewhere when one stops. Behind a balancer with one address for all, that address.',
  },
  HEADGATE_KEK: {
    type: 'string',
    encrypted: true,
    custom_validator: keyError,
    description:
      'Key-encryption key (32 bytes, base64) that wraps every stored secret. Needed with HEADGATE_DATABASE_URL; for the embedded database one is made in the data folder.',
  },
  HEADGATE_KEK_PREVIOUS: {
    type: 'string',
    encrypted: true,
    custom_validator: keyError,
    description:
      'The key that HEADGATE_KEK takes the place of. Stored secrets are wrapped by the new one at the first start with both; every control plane needs the new one from then on.',
  },
  ...FALLBACK_SETTINGS,
  HEADGATE_POLL_SECONDS: {
    type: 'number',
    required: true,
    default: 5,
    between: [0.1, 60],
    description:
      'How often the database is asked for changes; a notification only makes it sooner. With several control planes, every 5 seconds at least.',
  },
  HEADGATE_DATABASE_SLEEP_MINUTES: {
    type: 'number',
    between: [1, 1440],
    description:
      'For a database that sleeps when left alone: with nothing to do, and no other control plane, it is asked only so often, and no connection listens. What this control plane writes is published at once, as ever. What another one writes is noticed here after 5 seconds at most once both know of each other, which takes up to this time; until then its changes, its revocations and its log level wait as long. What expires is removed up to this time later, shown times of data planes are as old, and the health of targets that they report is not shown. Unset: never left alone.',
  },
});

export type ControlPlaneSettings = RecordOf<typeof CONTROL_PLANE_SETTINGS>;
