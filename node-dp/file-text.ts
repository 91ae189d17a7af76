/** One text in one file, for its owner only. */
import {
  PRIVATE_FILE_MODE,
  readPrivateFile,
  writeFileAtomic,
} from '#shared/platform/node/files.ts';
import type { TextPlace } from '#shared/sync/breaker.ts';

/** Far more than keys, names and what is remembered of trials take. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

export function fileText(path: string): TextPlace {
  return {
    read: async () => {
      const found = await readPrivateFile(path, FILE_BYTES_MAX);
      return found === null ? null : found.bytes.toString('utf8');
    },
    write: async (text) => void (await writeFileAtomic(path, text, PRIVATE_FILE_MODE)),
  };
}
