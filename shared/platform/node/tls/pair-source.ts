/** Where a listener's certificate and key come from. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileFailure } from '../start-error.ts';
import { PRIVATE_FILE_MODE, writeFileAtomic } from '../files.ts';
import { type PemPair, selfSigned } from './self-signed.ts';

export interface PairSource {
  /** Files to watch. */
  readonly paths: readonly string[];
  /** Reads them again. @throws with a message for people */
  load(): Promise<PemPair>;
}

/** Setting by which a file was named, for messages. */
interface NamedFile {
  readonly setting: string;
  readonly path: string;
}

const FILE_SIZE_MAX = 1024 * 1024;
const PUBLIC_FILE_MODE = 0o644;
const OWN_HOSTS = ['localhost', '127.0.0.1', '::1'];
const DAY_MS = 24 * 3600 * 1000;
const OWN_LIFETIME_MS = 365 * DAY_MS;
/** A new one is made when no more than this is left. */
const OWN_RENEWAL_MS = 30 * DAY_MS;
/** Clocks of clients may be behind. */
const BACKDATING_MS = 3600 * 1000;

/** A certificate that a process makes for itself. */
export interface OwnCertificate {
  /** Common name, for people. */
  readonly name: string;
  /** Certificate and key: one file, so that they cannot be of different pairs. */
  readonly pairFile: string;
  /** The certificate alone, for clients to trust: it is passed on, and the key must not be. */
  readonly certificateFile: string;
}

export function filesSource(cert: NamedFile, key: NamedFile): PairSource {
  return {
    paths: [cert.path, key.path],
    load: async () => ({ cert: await read(cert), key: await read(key) }),
  };
}

/** A pair that is made in the folder when there is none, and renewed in time. */
export function ownSource(folder: string, own: OwnCertificate, now: () => number): PairSource {
  const path = join(folder, own.pairFile);
  const publish = async (pair: string): Promise<PemPair> => {
    const certPath = join(folder, own.certificateFile);
    const cert = new X509Certificate(pair).toString();
    const present = await readFile(certPath, 'utf8').catch(() => '');
    if (present !== cert) await writeFileAtomic(certPath, cert, PUBLIC_FILE_MODE);
    return { cert: pair, key: pair };
  };
  return {
    paths: [path],
    load: async () => {
      const text = await readFile(path, 'utf8').catch(() => '');
      // OpenSSL takes each from it.
      if (isPair(text) && lifetimeLeft(text, now()) > OWN_RENEWAL_MS) return publish(text);
      const made = selfSigned({
        name: own.name,
        hosts: OWN_HOSTS,
        notBefore: new Date(now() - BACKDATING_MS),
        notAfter: new Date(now() + OWN_LIFETIME_MS),
      });
      const pair = `${made.key}${made.cert}`;
      await writeFileAtomic(path, pair, PRIVATE_FILE_MODE);
      return publish(pair);
    },
  };
}

function isPair(pem: string): boolean {
  try {
    return new X509Certificate(pem).checkPrivateKey(createPrivateKey(pem));
  } catch {
    return false; // Whatever it is, it is made anew.
  }
}

async function read({ setting, path }: NamedFile): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > FILE_SIZE_MAX) throw new Error(`${size} bytes are no PEM file`);
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileFailure(setting, path, error);
  }
}

/** Milliseconds; 0 for what is no certificate. */
export function lifetimeLeft(pem: string, nowMs: number): number {
  try {
    return Math.max(0, new X509Certificate(pem).validToDate.getTime() - nowMs);
  } catch {
    return 0;
  }
}
