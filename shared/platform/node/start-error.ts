/** Why a start failed, in one line for a person: the setting, its value, and what is wrong with it. */
import type { Listen } from '../../settings/listen.ts';
import { errorCode } from './files.ts';

export class StartError extends Error {
  override readonly name = 'StartError';
}

/** `setting`: name of the setting that the address came from. */
export function listenFailure(setting: string, listen: Listen, error: unknown): StartError {
  const at = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`;
  return new StartError(`${setting} is "${at}": cannot listen there, ${reasonOf(error)}`, {
    cause: error,
  });
}

export function folderFailure(path: string, error: unknown): StartError {
  return new StartError(`HEADGATE_DATA_DIR is "${path}": cannot write there, ${reasonOf(error)}`, {
    cause: error,
  });
}

export function fileFailure(setting: string, path: string, error: unknown): StartError {
  return new StartError(`${setting} is "${path}": cannot read it, ${reasonOf(error)}`, {
    cause: error,
  });
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken by another process',
  ERR_ADDRESS_IN_USE: 'the port is taken by another process',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EEXIST: 'there is a file of that name',
};

function reasonOf(error: unknown): string {
  const code = errorCode(error);
  const known = code === null ? undefined : REASONS[code];
  return known ?? (error instanceof Error ? error.message : String(error));
}
