/** The node's identity in one file, for its owner only: who it is, and the keys that prove it. */
import { readFile } from 'node:fs/promises';
import { errorCode, PRIVATE_FILE_MODE, writeFileAtomic } from '#shared/platform/node/files.ts';
import { textIdentityStore, type IdentityStore } from '#shared/sync/identity.ts';

export function fileIdentityStore(path: string): IdentityStore {
  return textIdentityStore({
    read: async () => {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return null;
        throw error;
      }
    },
    write: (text) => writeFileAtomic(path, text, PRIVATE_FILE_MODE),
  });
}
