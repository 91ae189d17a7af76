/** Files that survive a crash: written whole or not at all, locked against a second process. */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import {
  chmod,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** For what only its owner may read. */
export const PRIVATE_FILE_MODE = 0o600;
export const PRIVATE_DIR_MODE = 0o700;

/** A name of ours beside the target: a crash may leave one behind, and a sweep knows it. */
export const TEMPORARY_SUFFIX = '.tmp';

/** What `writeFileAtomic` calls them. */
const TEMPORARY_NAME = /^\..+\.[0-9a-f-]{36}\.tmp$/;

/** Attempts to take a lock whose holder turns out to be dead. */
const LOCK_ATTEMPTS = 5;

/**
 * Replaces a file: temporary file in the same folder, fsync, rename, fsync of the folder. Whatever
 * happens, readers see the old content or the new one. The mode holds from the first byte. Content
 * that comes in pieces is written piece by piece, and the process goes on with other work in between.
 *
 * @returns what tells the file from another one later on
 * @throws the system error (`ENOSPC`, `EACCES` …); the old content then stands
 */
export async function writeFileAtomic(
  path: string,
  data: Uint8Array | string | Iterable<Uint8Array | string>,
  mode: number = PRIVATE_FILE_MODE,
): Promise<{ readonly inode: number; readonly bytes: number }> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomUUID()}${TEMPORARY_SUFFIX}`);
  let written: Stats;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      // `open` is subject to the umask.
      await file.chmod(mode);
      written = await writeChecked(file, data, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(folder);
  return { inode: written.ino, bytes: written.size };
}

/**
 * Writes at the file's end, and believes it only once the file is as long as that makes it: a disk may
 * take less than it says.
 *
 * @param bytesBefore  length of the file until now
 */
export async function writeChecked(
  file: FileHandle,
  data: Uint8Array | string | Iterable<Uint8Array | string>,
  bytesBefore: number,
): Promise<Stats> {
  const isOne = typeof data === 'string' || data instanceof Uint8Array;
  let bytes = bytesBefore;
  for (const piece of isOne ? [data] : data) {
    // One piece after the other, so that little of it is in memory.
    await file.writeFile(piece);
    bytes += typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;
  }
  const after = await file.stat();
  if (after.size !== bytes) throw new ShortWriteError(bytes, after.size);
  return after;
}

/** The system said that all was written, and it was not. */
export class ShortWriteError extends Error {
  override readonly name = 'ShortWriteError';
  readonly code = 'EIO';
  constructor(wanted: number, found: number) {
    super(`EIO: ${wanted} bytes should be there, and ${found} are`);
  }
}

/** Opens a file that is there to write at its end; null when it is not. */
export async function openToAppend(path: string): Promise<FileHandle | null> {
  const { O_WRONLY, O_APPEND, O_NOFOLLOW } = constants;
  return openIfThere(path, O_WRONLY | O_APPEND | O_NOFOLLOW);
}

async function openIfThere(path: string, flags: number): Promise<FileHandle | null> {
  try {
    return await open(path, flags);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** It is there, and must not be used. The message says why. */
export class UnusableFileError extends Error {
  override readonly name = 'UnusableFileError';
}

/**
 * Reads a file that is for its owner only. One that others may read is tightened; one of another
 * user is made ours where the system lets us.
 *
 * @returns null when there is none
 * @throws UnusableFileError  for what is no plain file, too large, or somebody else's; else the system
 *   error
 */
export async function readPrivateFile(
  path: string,
  bytesMax: number,
): Promise<{ readonly bytes: Buffer; readonly inode: number } | null> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file: FileHandle | null;
  try {
    // Not blocking: nobody may ever write to a pipe in its place.
    file = await openIfThere(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === 'ELOOP')
      throw new UnusableFileError('a symbolic link', { cause: error });
    throw error;
  }
  if (file === null) return null;
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new UnusableFileError('not a plain file');
    if (found.size > bytesMax) throw new UnusableFileError(`larger than ${bytesMax} bytes`);
    await makeOurs(file, found);
    const bytes = await file.readFile();
    return { bytes, inode: found.ino };
  } finally {
    await file.close();
  }
}

async function makeOurs(file: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const us = process.geteuid?.() ?? uid;
  try {
    if (uid !== us) await file.chown(us, process.getegid?.() ?? gid);
    if ((mode & 0o077) !== 0) await file.chmod(PRIVATE_FILE_MODE);
  } catch (error) {
    throw new UnusableFileError('open to others, or the file of another user', { cause: error });
  }
}

/** Removes what a crash in the middle of an atomic write left behind in a folder of ours. */
export async function sweepTemporaries(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter((name) => TEMPORARY_NAME.test(name));
  await Promise.all(left.map((name) => unlink(join(folder, name)).catch(() => {})));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder (and its parents) that only the owner may enter; tightens one that is there. */
export async function ensurePrivateDir(path: string): Promise<void> {
  await makeFolder(path);
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) await chmod(path, PRIVATE_DIR_MODE);
}

/**
 * Level by level: Node's own recursive `mkdir` never returns where a folder cannot be made although
 * its parent is there (as under /proc).
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: PRIVATE_DIR_MODE });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path || (await exists(parent))) throw error;
    await makeFolder(parent);
    await makeFolder(path);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

export interface Lock {
  /** Removes the lock file. Calling it again does nothing. */
  release(): void;
}

/** Somebody else has the folder or file. `pid` names them. */
export class LockedError extends Error {
  override readonly name = 'LockedError';
  readonly path: string;
  readonly pid: number;
  constructor(path: string, pid: number) {
    super(`${path} is held by the running process ${pid}`);
    this.path = path;
    this.pid = pid;
  }
}

/**
 * Takes an exclusive lock: a file with the pid and the start time of its holder. A lock whose holder
 * is gone is taken over; the start time tells a process from a later one with the same number.
 *
 * @throws LockedError  a running process holds it (this one included)
 */
export function acquireLock(path: string): Lock {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt += 1) {
    const token = `${process.pid} ${startTime(process.pid) ?? '-'} ${randomUUID()}\n`;
    if (createExclusively(path, token)) return lockFile(path, token);
    const holder = readHolder(path);
    if (holder !== null && isAlive(holder)) throw new LockedError(path, holder.pid);
    removeIfThere(path);
  }
  throw new LockedError(path, readHolder(path)?.pid ?? 0);
}

function createExclusively(path: string, token: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx', PRIVATE_FILE_MODE);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    writeSync(file, token);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return true;
}

function lockFile(path: string, token: string): Lock {
  const release = (): void => {
    process.off('exit', release);
    // Only our own: after a take-over the file is somebody else's.
    if (readText(path) === token) removeIfThere(path);
  };
  process.on('exit', release);
  return { release };
}

interface Holder {
  readonly pid: number;
  readonly startedAt: string;
}

/** Null for a lock file that says nothing: its writer died before the first byte. */
function readHolder(path: string): Holder | null {
  const match = /^(\d{1,10}) (\S+)/.exec(readText(path) ?? '');
  if (match === null) return null;
  return { pid: Number(match[1]), startedAt: match[2] ?? '-' };
}

function isAlive(holder: Holder): boolean {
  if (holder.pid <= 0) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it is there and belongs to another user.
    if (errorCode(error) !== 'EPERM') return false;
  }
  const now = startTime(holder.pid);
  return now === null || holder.startedAt === '-' || now === holder.startedAt;
}

/** Boot id and clock ticks since boot, field 22 of /proc/PID/stat; null where there is no /proc. */
function startTime(pid: number): string | null {
  const stat22 = readText(`/proc/${pid}/stat`);
  if (stat22 === null) return null;
  // The command name may contain anything, also parentheses: fields count from the last one.
  const ticks = stat22.slice(stat22.lastIndexOf(')') + 2).split(' ')[19];
  const boot = (readText('/proc/sys/kernel/random/boot_id') ?? '').trim();
  return ticks === undefined ? null : `${boot}/${ticks}`;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/** `ENOENT` and the like; null for anything that is not a system error. */
export function errorCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
