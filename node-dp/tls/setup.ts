/** What TLS needs of settings and files, read once at the start. */
import { createPrivateKey, hash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';
import { SettingsError } from '#shared/platform/node/env.ts';
import { fileFailure, StartError } from '#shared/platform/node/start-error.ts';
import { LiveCertificate } from '#shared/platform/node/tls/live-certificate.ts';
import {
  filesSource,
  ownSource,
  type OwnCertificate,
  type PairSource,
} from '#shared/platform/node/tls/pair-source.ts';
import type { ClientCertificate, Logger } from '#shared/platform/platform.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import type { UpstreamTlsDefaults } from '#shared/tables/service-tls.ts';
import { readPolicy, type TlsPolicy } from './policy.ts';
import type { ClientVerification } from './termination.ts';

export interface TlsSetup {
  readonly policy: TlsPolicy;
  /** Null: clients are not asked for certificates. */
  readonly clients: ClientVerification | null;
  readonly upstream: UpstreamTlsDefaults;
  /** PEM of the authorities that upstreams are verified against where no entity names others. */
  readonly trusted: readonly string[];
}

/** Served where no SNI leads to another certificate. */
const DEFAULT_CERTIFICATE: OwnCertificate = {
  name: 'localhost',
  pairFile: 'default-tls.key',
  certificateFile: 'default-tls.pem',
};

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** @throws SettingsError, StartError: one line that names the setting */
export async function readTlsSetup(settings: DataPlaneSettings): Promise<TlsSetup> {
  return {
    policy: readPolicy(settings),
    clients: await readClients(settings),
    upstream: {
      verify: settings.HEADGATE_TLS_VERIFY,
      verifyDepth: settings.HEADGATE_TLS_VERIFY_DEPTH,
      clientCertificate: await readClientCertificate(settings),
    },
    trusted: await readTrusted(settings.HEADGATE_TRUSTED_CERTIFICATE),
  };
}

/**
 * The default certificate: the operator's files, or one that is made in the folder.
 *
 * @throws SettingsError, StartError
 */
export async function openDefaultCertificate(
  settings: DataPlaneSettings,
  folder: string,
  logger: Logger,
): Promise<LiveCertificate> {
  try {
    const source = defaultSource(settings, folder);
    return await LiveCertificate.open({ source, logger });
  } catch (error) {
    if (error instanceof StartError || error instanceof SettingsError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw refused(
      'HEADGATE_TLS_CERT',
      settings.HEADGATE_TLS_CERT,
      `a PEM certificate and its key in HEADGATE_TLS_KEY (${reason})`,
    );
  }
}

function defaultSource(settings: DataPlaneSettings, folder: string): PairSource {
  const { HEADGATE_TLS_CERT: cert, HEADGATE_TLS_KEY: key } = settings;
  if (cert === null && key === null) return ownSource(folder, DEFAULT_CERTIFICATE, Date.now);
  if (cert === null)
    throw refused('HEADGATE_TLS_CERT', null, 'the file that HEADGATE_TLS_KEY is the key of');
  if (key === null)
    throw refused('HEADGATE_TLS_KEY', null, 'the file with the key of HEADGATE_TLS_CERT');
  return filesSource(
    { setting: 'HEADGATE_TLS_CERT', path: cert },
    { setting: 'HEADGATE_TLS_KEY', path: key },
  );
}

async function readClients(settings: DataPlaneSettings): Promise<ClientVerification | null> {
  const { HEADGATE_SSL_VERIFY_CLIENT: mode, HEADGATE_SSL_CLIENT_CERTIFICATE: path } = settings;
  if (mode === 'off') return null;
  const name = 'HEADGATE_SSL_CLIENT_CERTIFICATE';
  if (path === null && mode !== 'optional_no_ca') {
    throw refused(name, null, `a PEM file, as HEADGATE_SSL_VERIFY_CLIENT is ${mode}`);
  }
  const ca = path === null ? null : (await readCertificates(name, path)).join('\n');
  return { mode, ca };
}

async function readClientCertificate(
  settings: DataPlaneSettings,
): Promise<ClientCertificate | null> {
  if (!settings.HEADGATE_CLIENT_SSL) return null;
  const [certName, keyName] = ['HEADGATE_CLIENT_SSL_CERT', 'HEADGATE_CLIENT_SSL_CERT_KEY'] as const;
  const { [certName]: certPath, [keyName]: keyPath } = settings;
  if (certPath === null) throw refused(certName, null, 'a PEM file, as HEADGATE_CLIENT_SSL is on');
  if (keyPath === null) throw refused(keyName, null, 'a PEM file, as HEADGATE_CLIENT_SSL is on');
  const cert = (await readCertificates(certName, certPath)).join('\n');
  const key = await readText(keyName, keyPath);
  let isPair: boolean;
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    isPair = false;
  }
  if (!isPair) throw refused(keyName, keyPath, `a PEM file with the key of ${certName}`);
  return { id: hash('sha256', cert + key, 'hex'), cert, key };
}

async function readTrusted(names: readonly string[]): Promise<readonly string[]> {
  const trusted = new Set<string>();
  for (const name of names) {
    const found =
      name === 'system'
        ? systemCertificates()
        : await readCertificates('HEADGATE_TRUSTED_CERTIFICATE', name);
    for (const pem of found) trusted.add(pem);
  }
  return [...trusted];
}

/** Those of the machine; where it has none, those that Node brings. */
function systemCertificates(): readonly string[] {
  const system = getCACertificates('system');
  const base = system.length > 0 ? system : getCACertificates('bundled');
  return [...base, ...getCACertificates('extra')];
}

async function readCertificates(setting: string, path: string): Promise<readonly string[]> {
  const found = (await readText(setting, path)).match(CERTIFICATES) ?? [];
  try {
    for (const pem of found) void new X509Certificate(pem);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw refused(setting, path, `a PEM file with certificates (${reason})`);
  }
  if (found.length === 0) throw refused(setting, path, 'a PEM file with certificates');
  return found;
}

async function readText(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileFailure(setting, path, error);
  }
}

function refused(name: string, value: string | null, allowed: string): SettingsError {
  return new SettingsError([{ name, value, allowed }]);
}
