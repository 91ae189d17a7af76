/** Settings of a Node data plane. (An edge data plane has bindings: `edge-dp/bindings.ts`.) */
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { COMMON_SETTINGS, CORE_SETTINGS } from './common.ts';
import { DNS_SETTINGS } from './dns.ts';
import { FALLBACK_SETTINGS } from './fallback.ts';
import { listenError, proxyListenError, streamListenError } from './listen.ts';
import { TLS_SETTINGS } from './tls.ts';
import { controlPlaneError, joinTokenError, keyError, proxyServerError } from './validators.ts';

const listen = { type: 'string', custom_validator: listenError } as const;

/** Kong's rule for `cluster_dp_labels`: `key:value`, 1 to 63 of word characters, dot, dash. */
function labelError(text: string): string | null {
  const part = '[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?';
  return new RegExp(`^${part}:${part}$`).test(text) ? null : 'labels such as region:eu-west';
}

export const DATA_PLANE_SETTINGS = defineFields({
  ...COMMON_SETTINGS,
  HEADGATE_PROXY_LISTEN: {
    type: 'array',
    required: true,
    default: ['127.0.0.1:8000'],
    elements: { type: 'string', custom_validator: proxyListenError },
    description:
      'Addresses that take traffic, such as "0.0.0.0:8000, 0.0.0.0:8443 ssl". Flags: ssl, http2 ' +
      '(in clear by prior knowledge; over TLS it is on unless http2=off), proxy_protocol, backlog=N.',
  },
  HEADGATE_STREAM_LISTEN: {
    type: 'array',
    required: true,
    default: ['off'],
    elements: { type: 'string', custom_validator: streamListenError },
    description:
      'Addresses that take connections and datagrams for tcp, tls, tls_passthrough and udp routes, ' +
      'such as "0.0.0.0:9000, 0.0.0.0:9443 ssl, 0.0.0.0:5353 udp"; flags ssl, udp, proxy_protocol.',
  },
  HEADGATE_STATUS_LISTEN: {
    type: 'array',
    required: true,
    default: ['127.0.0.1:8007'],
    elements: listen,
    description: 'Addresses of /status, /status/ready and /metrics.',
  },
  HEADGATE_CONTROL_PLANES: {
    type: 'array',
    required: true,
    default: ['ws://127.0.0.1:8005'],
    elements: { type: 'string', custom_validator: controlPlaneError },
    description:
      'Addresses of the control planes, tried in turn. https:// pulls instead of WebSocket.',
  },
  HEADGATE_CLUSTER_CA_CERT: {
    type: 'string',
    description:
      'PEM file of a private CA to trust for the control planes, beside the public ones.',
  },
  HEADGATE_CLUSTER_CERT: {
    type: 'string',
    description:
      'PEM file of the certificate that this node shows to control planes which ask for one (mTLS). Read again for every connection.',
  },
  HEADGATE_CLUSTER_CERT_KEY: {
    type: 'string',
    description: 'PEM file with the private key of HEADGATE_CLUSTER_CERT.',
  },
  HEADGATE_CLUSTER_SERVER_NAME: {
    type: 'string',
    description:
      'Name that the control planes’ certificates must be for. Default: the host of their address.',
  },
  HEADGATE_PROXY_SERVER: {
    type: 'string',
    encrypted: true,
    custom_validator: proxyServerError,
    description:
      'HTTP forward proxy on the way to the control planes, http:// or https://, user and password URL-escaped. Requests to upstreams do not take it.',
  },
  HEADGATE_PROXY_SERVER_SSL_VERIFY: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether the certificate of an https:// forward proxy is verified.',
  },
  HEADGATE_JOIN_TOKEN: {
    type: 'string',
    encrypted: true,
    custom_validator: joinTokenError,
    description: 'Join token for the first enrolment; not needed once the node has its identity.',
  },
  ...FALLBACK_SETTINGS,
  HEADGATE_GROUP: {
    type: 'string',
    required: true,
    default: 'default',
    description:
      'Group whose configuration in the fallback storage is this node’s. (Which group it joins, its join token says.)',
  },
  HEADGATE_BOOT_KEY: {
    type: 'string',
    encrypted: true,
    custom_validator: keyError,
    description:
      'Key of the group (POST /clustering/groups/{group}/boot-key) that opens its secrets in the fallback storage. Without it, scopes that need secrets stay closed until a control plane answers.',
  },
  HEADGATE_CLUSTER_DP_LABELS: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: labelError },
    description: 'Labels of this node, key:value, at most 10.',
  },
  ...TLS_SETTINGS,
  ...CORE_SETTINGS,
  ...DNS_SETTINGS,
  HEADGATE_MAX_CONNECTIONS: {
    type: 'integer',
    required: true,
    default: 16384,
    between: [1, 1000000],
    description: 'Client connections held open at a time; further ones are closed at once.',
  },
  HEADGATE_DRAIN_SECONDS: {
    type: 'integer',
    required: true,
    default: 10,
    between: [0, 3600],
    description: 'How long a stopping data plane lets requests in flight finish.',
  },
});

export type DataPlaneSettings = RecordOf<typeof DATA_PLANE_SETTINGS>;
