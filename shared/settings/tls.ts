/** Settings of TLS on a Node data plane, towards clients and towards upstreams. Named after Kong's. */
import { defineFields } from '../schema/infer.ts';

export const TLS_PROTOCOLS = ['TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
export type TlsProtocol = (typeof TLS_PROTOCOLS)[number];

const PROTOCOLS_ALLOWED = 'TLSv1.1, TLSv1.2 and TLSv1.3, separated by spaces, without a gap';

/** The versions that a text names, oldest first; null when it names others, none, or leaves a gap. */
export function parseTlsProtocols(text: string): readonly TlsProtocol[] | null {
  const named = new Set(text.split(' ').filter((word) => word !== ''));
  const found = TLS_PROTOCOLS.filter((version) => named.has(version));
  if (found.length === 0 || found.length !== named.size) return null;
  // What OpenSSL takes is a range.
  return found.length === 2 && !named.has('TLSv1.2') ? null : found;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
/** RFC 8446, section 4.6.1. */
const SESSION_SECONDS_MAX = 7 * 86_400;
const TIMEOUT_ALLOWED = 'seconds, or a number with s, m, h or d; from 1s to 7d';

/** Seconds of a text such as `1d`; null when it is none, or too long for a session. */
export function parseSessionTimeout(text: string): number | null {
  const [, digits, unit] = /^(\d{1,7})([smhd])?$/.exec(text) ?? [];
  const seconds = Number(digits ?? 0) * (SECONDS[unit ?? 's'] ?? 0);
  return seconds >= 1 && seconds <= SESSION_SECONDS_MAX ? seconds : null;
}

export const TLS_SETTINGS = defineFields({
  HEADGATE_SSL_CIPHER_SUITE: {
    type: 'string',
    required: true,
    default: 'intermediate',
    one_of: ['modern', 'intermediate', 'old', 'fips', 'custom'],
    description:
      'Versions and ciphers of TLS towards clients, as Mozilla recommends them; custom: as the next three say.',
  },
  HEADGATE_SSL_CIPHERS: {
    type: 'string',
    description: 'Ciphers in OpenSSL’s notation, for HEADGATE_SSL_CIPHER_SUITE custom.',
  },
  HEADGATE_SSL_PROTOCOLS: {
    type: 'string',
    required: true,
    default: 'TLSv1.2 TLSv1.3',
    custom_validator: (text) => (parseTlsProtocols(text) === null ? PROTOCOLS_ALLOWED : null),
    description: 'Versions of TLS, for HEADGATE_SSL_CIPHER_SUITE custom.',
  },
  HEADGATE_SSL_PREFER_SERVER_CIPHERS: {
    type: 'boolean',
    required: true,
    default: true,
    description:
      'Whether our order of ciphers counts rather than the client’s, for HEADGATE_SSL_CIPHER_SUITE custom.',
  },
  HEADGATE_SSL_SESSION_TIMEOUT: {
    type: 'string',
    required: true,
    default: '1d',
    custom_validator: (text) => (parseSessionTimeout(text) === null ? TIMEOUT_ALLOWED : null),
    description: 'How long a client may resume a TLS session.',
  },
  HEADGATE_SSL_VERIFY_CLIENT: {
    type: 'string',
    required: true,
    default: 'off',
    one_of: ['off', 'on', 'optional', 'optional_no_ca'],
    description:
      'Whether clients are asked for a certificate: on needs a good one, optional a good one or none, optional_no_ca passes on whatever comes. Stream routes ask nobody: with on, those of tls are closed.',
  },
  HEADGATE_SSL_CLIENT_CERTIFICATE: {
    type: 'string',
    description: 'PEM file with the authorities that client certificates are verified against.',
  },
  HEADGATE_TRUSTED_CERTIFICATE: {
    type: 'array',
    required: true,
    default: ['system'],
    elements: { type: 'string' },
    description:
      'What certificates of upstreams are verified against: system, PEM files, or both (Kong’s lua_ssl_trusted_certificate).',
  },
  HEADGATE_TLS_VERIFY: {
    type: 'boolean',
    required: true,
    default: false,
    description:
      'Whether certificates of upstreams are verified where a service’s tls_verify says nothing.',
  },
  HEADGATE_TLS_VERIFY_DEPTH: {
    type: 'integer',
    required: true,
    default: 1,
    between: [0, 64],
    description:
      'Intermediate authorities allowed where a service’s tls_verify_depth says nothing.',
  },
  HEADGATE_CLIENT_SSL: {
    type: 'boolean',
    required: true,
    default: false,
    description:
      'Whether HEADGATE_CLIENT_SSL_CERT is shown to upstreams that ask, where no entity says otherwise.',
  },
  HEADGATE_CLIENT_SSL_CERT: {
    type: 'string',
    description: 'PEM file with the certificate chain that is shown to upstreams.',
  },
  HEADGATE_CLIENT_SSL_CERT_KEY: {
    type: 'string',
    description: 'PEM file with the private key of HEADGATE_CLIENT_SSL_CERT.',
  },
});
