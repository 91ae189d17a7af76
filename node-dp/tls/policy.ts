/** Versions, ciphers and sessions of TLS towards clients, as the settings say. */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { SettingsError } from '#shared/platform/node/env.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import { parseSessionTimeout, parseTlsProtocols, type TlsProtocol } from '#shared/settings/tls.ts';

/** What every context of a listener has in common, whoever's certificate it carries. */
export type TlsPolicy = Pick<
  SecureContextOptions,
  | 'minVersion'
  | 'maxVersion'
  | 'ciphers'
  | 'honorCipherOrder'
  | 'secureOptions'
  | 'sessionTimeout'
  | 'sessionIdContext'
>;

type PolicySettings = Pick<
  DataPlaneSettings,
  | 'HEADGATE_SSL_CIPHER_SUITE'
  | 'HEADGATE_SSL_CIPHERS'
  | 'HEADGATE_SSL_PROTOCOLS'
  | 'HEADGATE_SSL_PREFER_SERVER_CIPHERS'
  | 'HEADGATE_SSL_SESSION_TIMEOUT'
>;

interface Suite {
  readonly protocols: readonly TlsProtocol[];
  /** Null: those of TLS 1.3 only. */
  readonly ciphers: string | null;
  readonly isOrdered: boolean;
}

/**
 * Mozilla's server side TLS, 5.7. Without its finite field Diffie-Hellman: it costs a server far more
 * than a client (CVE-2002-20001), and whoever speaks it with AES-GCM speaks the elliptic one too.
 */
const SUITES: Readonly<Record<'modern' | 'intermediate' | 'old' | 'fips', Suite>> = {
  modern: { protocols: ['TLSv1.3'], ciphers: null, isOrdered: false },
  intermediate: {
    protocols: ['TLSv1.2', 'TLSv1.3'],
    ciphers: [
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
      'ECDHE-RSA-CHACHA20-POLY1305',
    ].join(':'),
    isOrdered: false,
  },
  old: {
    protocols: ['TLSv1.1', 'TLSv1.2', 'TLSv1.3'],
    ciphers: [
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
      'ECDHE-RSA-CHACHA20-POLY1305',
      'ECDHE-ECDSA-AES128-SHA256',
      'ECDHE-RSA-AES128-SHA256',
      'ECDHE-ECDSA-AES128-SHA',
      'ECDHE-RSA-AES128-SHA',
      'ECDHE-ECDSA-AES256-SHA384',
      'ECDHE-RSA-AES256-SHA384',
      'ECDHE-ECDSA-AES256-SHA',
      'ECDHE-RSA-AES256-SHA',
      'AES128-GCM-SHA256',
      'AES256-GCM-SHA384',
      'AES128-SHA256',
      'AES256-SHA256',
      'AES128-SHA',
      'AES256-SHA',
      // TLS 1.1 signs with SHA-1, which OpenSSL takes at this level only.
      '@SECLEVEL=0',
    ].join(':'),
    isOrdered: true,
  },
  fips: {
    protocols: ['TLSv1.2', 'TLSv1.3'],
    ciphers: [
      'TLS_AES_256_GCM_SHA384',
      'TLS_AES_128_GCM_SHA256',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
    ].join(':'),
    isOrdered: true,
  },
};

/** Sessions are good on every listener of this product, whatever certificate they began with. */
const SESSION_ID_CONTEXT = 'headgate';

/** @throws SettingsError */
export function readPolicy(settings: PolicySettings): TlsPolicy {
  const { HEADGATE_SSL_CIPHER_SUITE: name } = settings;
  const { protocols, ciphers, isOrdered } = name === 'custom' ? custom(settings) : SUITES[name];
  const policy: TlsPolicy = {
    minVersion: protocols[0] ?? 'TLSv1.2',
    maxVersion: protocols.at(-1) ?? 'TLSv1.3',
    ...(ciphers === null ? {} : { ciphers }),
    honorCipherOrder: isOrdered,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
    sessionTimeout: parseSessionTimeout(settings.HEADGATE_SSL_SESSION_TIMEOUT) ?? 1,
    sessionIdContext: SESSION_ID_CONTEXT,
  };
  try {
    createSecureContext(policy);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw refused('HEADGATE_SSL_CIPHERS', ciphers, `ciphers that OpenSSL knows (${reason})`);
  }
  return policy;
}

function custom(settings: PolicySettings): Suite {
  const { HEADGATE_SSL_CIPHERS: ciphers, HEADGATE_SSL_PROTOCOLS: protocols } = settings;
  const versions = parseTlsProtocols(protocols) ?? [];
  // Of TLS 1.3 there is nothing weak to leave out.
  if (ciphers === null && versions[0] !== 'TLSv1.3') {
    throw refused('HEADGATE_SSL_CIPHERS', null, 'ciphers, as HEADGATE_SSL_CIPHER_SUITE is custom');
  }
  return { protocols: versions, ciphers, isOrdered: settings.HEADGATE_SSL_PREFER_SERVER_CIPHERS };
}

function refused(name: string, value: string | null, allowed: string): SettingsError {
  return new SettingsError([{ name, value, allowed }]);
}
