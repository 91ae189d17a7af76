/** The stores of a data plane's folder, and the same done wrong: what the matrix must find. */
import { appendFile, open, rename, writeFile } from 'node:fs/promises';
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import { textIdentityStore, type IdentityStore } from '#shared/sync/identity.ts';
import { readFile } from 'node:fs/promises';
import { blockOf, nodeLine, signedLine, wholeFile } from '../../../node-dp/config-log.ts';
import { FileConfigStore } from '../../../node-dp/config-store.ts';
import { fileIdentityStore } from '../../../node-dp/identity-store.ts';

/**
 * - `in-place`: files are written over, as `writeFile` does it
 * - `unsynced`: nothing is ever synced
 * - `rename-first`: renamed before what is in the file was synced
 * - `blind`: does not look whether all of a write was taken
 */
export const MUTANTS = ['in-place', 'unsynced', 'rename-first', 'blind'] as const;

interface Stores {
  readonly store: ConfigStore;
  readonly fresh: ConfigStore;
  readonly identities: IdentityStore;
}

export function makeStores(mutant: string, configPath: string, identityPath: string): Stores {
  if (mutant === '') {
    return {
      store: new FileConfigStore(configPath),
      fresh: new FileConfigStore(configPath),
      identities: fileIdentityStore(identityPath),
    };
  }
  const write = WRITERS[mutant];
  if (write === undefined) throw new Error(`no mutant ${mutant}`);
  const good = new FileConfigStore(configPath);
  const anew: ConfigStore = {
    load: () => good.load(),
    save: (config) => write(configPath, whole(config)),
  };
  const adding: ConfigStore = {
    load: () => good.load(),
    save: (config) =>
      mutant === 'unsynced' || mutant === 'blind'
        ? appendFile(configPath, block(config))
        : write(configPath, whole(config)),
  };
  const identities = textIdentityStore({
    read: () => readFile(identityPath, 'utf8'),
    write: (text) => write(identityPath, Buffer.from(text)),
  });
  return { store: adding, fresh: anew, identities };
}

type Writer = (path: string, bytes: Buffer) => Promise<void>;

const WRITERS: Readonly<Record<string, Writer>> = {
  'in-place': (path, bytes) => writeFile(path, bytes),
  unsynced: async (path, bytes) => {
    await writeFile(temporaryOf(path), bytes);
    await rename(temporaryOf(path), path);
  },
  'rename-first': async (path, bytes) => {
    await writeFile(temporaryOf(path), bytes);
    await rename(temporaryOf(path), path);
    await sync(path);
  },
  blind: async (path, bytes) => {
    await writeFile(temporaryOf(path), bytes);
    await sync(temporaryOf(path));
    await rename(temporaryOf(path), path);
  },
};

function temporaryOf(path: string): string {
  const slash = path.lastIndexOf('/') + 1;
  const name = `.${path.slice(slash)}.00000000-0000-4000-8000-000000000000.tmp`;
  return path.slice(0, slash) + name;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.sync();
  await file.close();
}

function whole(config: StoredConfig): Buffer {
  return Buffer.concat([...wholeFile([config], new Set())]);
}

function block(config: StoredConfig): Buffer {
  const lines = [...config.nodes].map(([id, text]) => nodeLine(id, text));
  return blockOf(lines.join('') + signedLine(config));
}
