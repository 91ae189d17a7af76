/** `headgate keys`: what is done where the root key is. Needs no database and no network. */
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { base64url } from '#shared/base/bytes.ts';
import { errorCode, PRIVATE_FILE_MODE } from '#shared/platform/node/files.ts';
import { UsageError } from '../transfer/options.ts';
import { KEY_BYTES, KeyringError, readKeyFile } from './kek.ts';
import { rootKeyPair } from './root-key.ts';
import { signProposal } from './signing-keys.ts';

export const KEYS_USAGE = `usage: headgate keys root --out FILE
       headgate keys sign --root-key FILE LIST

The root key of a cluster vouches for the keys that sign configurations. Data planes pin it, and nobody
needs it while all is well: keep it away from the control planes.

  root   makes one, in a file that only its owner can read, for headgate init --root-key
  sign   signs a list that POST /headgate/keys/signing proposed (the file LIST: its answer), and writes
         what PUT /headgate/keys/signing takes

Look at the list before you sign it: its cluster, how many keys, and whether you asked for it.`;

/** @returns what to print; null: help was asked for @throws UsageError, KeyringError */
export async function runKeys(args: readonly string[]): Promise<string | null> {
  const { values, positionals } = parse(args);
  if (values.help === true) return null;
  const [command, list, ...more] = positionals;
  if (command === 'root' && list === undefined) {
    return makeRoot(values.out ?? missing('--out FILE'));
  }
  if (command === 'sign' && more.length === 0) {
    return sign(values['root-key'] ?? missing('--root-key FILE'), list ?? missing('LIST'));
  }
  throw new UsageError('expected root or sign');
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { out: text, 'root-key': text, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function missing(what: string): never {
  throw new UsageError(`${what} is missing`);
}

async function makeRoot(path: string): Promise<string> {
  const seed = new Uint8Array(randomBytes(KEY_BYTES));
  try {
    // Never over another one.
    const file = await open(path, 'wx', PRIVATE_FILE_MODE);
    await file.writeFile(`${Buffer.from(seed).toString('base64')}\n`);
    await file.sync();
    await file.close();
  } catch (error) {
    throw new KeyringError(
      `${path}: ${errorCode(error) === 'EEXIST' ? 'is there already' : 'cannot be written'}`,
    );
  }
  return `root public key: ${base64url(rootKeyPair(seed).publicKey)}`;
}

async function sign(keyPath: string, listPath: string): Promise<string> {
  const seed = await readKeyFile(keyPath);
  if (seed === null) throw new KeyringError(`${keyPath}: there is no such file`);
  const proposal = await readFile(listPath, 'utf8').catch(() => {
    throw new KeyringError(`${listPath}: cannot be read`);
  });
  return JSON.stringify(await signProposal(textIn(proposal), seed));
}

/** The list itself, or the answer that it came in. */
function textIn(proposal: string): string {
  try {
    const value: unknown = JSON.parse(proposal);
    const isAnswer = typeof value === 'object' && value !== null && 'text' in value;
    if (isAnswer && typeof value.text === 'string') return value.text;
  } catch {
    // Not JSON: the signer says so.
  }
  return proposal.trim();
}
