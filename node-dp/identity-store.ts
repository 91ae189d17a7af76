/** The node's identity in one file, for its owner only: who it is, and the keys that prove it. */
import {
  PRIVATE_FILE_MODE,
  readPrivateFile,
  writeFileAtomic,
} from '#shared/platform/node/files.ts';
import { textIdentityStore, type IdentityStore } from '#shared/sync/identity.ts';

/** Far more than keys and names take. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

export function fileIdentityStore(path: string): IdentityStore {
  return textIdentityStore({
    read: async () => {
      const found = await readPrivateFile(path, FILE_BYTES_MAX);
      return found === null ? null : found.bytes.toString('utf8');
    },
    write: async (text) => void (await writeFileAtomic(path, text, PRIVATE_FILE_MODE)),
  });
}
