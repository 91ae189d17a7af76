/**
 * The key-encryption key: 32 bytes that wrap every secret in the database. It comes from the
 * environment (or a file named there), the same for every control plane of a cluster; for a laptop it
 * is made in the data folder.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ensurePrivateDir,
  errorCode,
  PRIVATE_FILE_MODE,
  writeFileAtomic,
} from '#shared/platform/node/files.ts';

export const KEY_BYTES = 32;

/** The keys do not fit this database; the message names the setting or file and what to do. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError';
}

export interface Keks {
  /** `HEADGATE_KEK`, base64 or base64url; null when not set. */
  readonly kek: string | null;
  /** `HEADGATE_KEK_PREVIOUS`: what `kek` takes the place of. */
  readonly previousKek?: string | null;
}

export interface KeySettings extends Keks {
  /** Reads them again: the files they stand in may have changed. */
  readonly reread?: () => Keks;
  /** `HEADGATE_DATA_DIR` */
  readonly dataDir: string;
  /** Where the root key of a new cluster is; not given: in the data folder, made if it must. */
  readonly rootKeyFile?: string;
  /** Only for an embedded database: elsewhere every control plane must be given the same key. */
  readonly mayMakeKek: boolean;
}

export function keysFolder(settings: KeySettings): string {
  return join(settings.dataDir, 'cp', 'keys');
}

/**
 * @param isNew  whether there is no cluster yet, so that a key may be made
 * @throws KeyringError
 */
export async function loadKek(settings: KeySettings, isNew: boolean): Promise<Uint8Array> {
  if (settings.kek !== null) return decodeKey(settings.kek, 'HEADGATE_KEK');
  const path = join(keysFolder(settings), 'kek');
  const stored = await readKeyFile(path);
  if (stored !== null) return stored;
  if (!settings.mayMakeKek) {
    throw new KeyringError(
      'HEADGATE_KEK: not set; with a database server it is required: 32 random bytes in base64, ' +
        'the same for every control plane (make it with: openssl rand -base64 32)',
    );
  }
  if (!isNew) {
    throw new KeyringError(
      `HEADGATE_KEK: not set, and ${path} is gone; the database cannot be read without that key ` +
        '(restore it, or remove the database folder to start anew)',
    );
  }
  const made = new Uint8Array(randomBytes(KEY_BYTES));
  await writeKeyFile(settings, 'kek', made);
  return made;
}

export async function writeKeyFile(
  settings: KeySettings,
  name: string,
  key: Uint8Array,
): Promise<string> {
  const folder = keysFolder(settings);
  await ensurePrivateDir(folder);
  const path = join(folder, name);
  await writeFileAtomic(path, `${Buffer.from(key).toString('base64')}\n`, PRIVATE_FILE_MODE);
  return path;
}

/** Null when there is no such file. @throws KeyringError when it holds something else */
export async function readKeyFile(path: string): Promise<Uint8Array | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw new KeyringError(`${path}: cannot be read`, { cause: error });
  }
  return decodeKey(text.trim(), path);
}

export function decodeKey(text: string, source: string): Uint8Array {
  const bytes = /^[A-Za-z0-9+/_-]+=*$/.test(text) ? Buffer.from(text, 'base64') : null;
  if (bytes?.length !== KEY_BYTES) {
    throw new KeyringError(`${source}: expected ${KEY_BYTES} random bytes in base64`);
  }
  return new Uint8Array(bytes);
}
