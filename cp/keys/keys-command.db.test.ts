import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { fromBase64url } from '#shared/base/bytes.ts';
import { verifyKeyList } from '#shared/config/key-list.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { silent } from '../../test/support/pglite.ts';
import { UsageError } from '../transfer/options.ts';
import { KeyringError } from './kek.ts';
import { runKeys } from './keys-command.ts';
import { loadKeyring } from './keyring.ts';
import { openPglite } from '../store/drivers/pglite.ts';
import { migrate } from '../store/migrate.ts';

let folder: string;
const path = (name: string): string => join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-keys-'));
});
afterEach(() => rm(folder, { recursive: true }));

const LIST = {
  format: 1,
  cluster: '11111111-1111-4111-8111-111111111111',
  keys: [{ id: 'k', public_key: 'A'.repeat(43), not_before: 0, not_after: null }],
  sequence: 2,
};

describe('headgate keys', () => {
  it('makes a root key that only its owner can read, and never over another', async () => {
    await runKeys(['root', '--out', path('root.key')]);
    expect((await stat(path('root.key'))).mode & 0o777).toBe(0o600);
    const before = await readFile(path('root.key'), 'utf8');
    await expect(runKeys(['root', '--out', path('root.key')])).rejects.toThrow(KeyringError);
    expect(await readFile(path('root.key'), 'utf8')).toBe(before);
  });

  it.each([
    ['a list', JSON.stringify(LIST)],
    ['the answer that it came in', JSON.stringify({ text: JSON.stringify(LIST) })],
  ])('signs %s, so that who pins the root believes it', async (_name, proposal) => {
    const said = must(await runKeys(['root', '--out', path('root.key')]), 'a line');
    await writeFile(path('list'), proposal);
    const signed = await runKeys(['sign', '--root-key', path('root.key'), path('list')]);
    const root = must(fromBase64url(said.replace('root public key: ', '')), 'a key');
    expect(await verifyKeyList(JSON.parse(must(signed, 'json')), root, nodeCrypto)).toMatchObject(
      LIST,
    );
  });

  it('signs nothing that is no list of keys', async () => {
    await runKeys(['root', '--out', path('root.key')]);
    await writeFile(path('list'), '{"manifest":1}');
    const args = ['sign', '--root-key', path('root.key'), path('list')];
    await expect(runKeys(args)).rejects.toThrow(KeyringError);
  });

  it.each([[[]], [['sign']], [['root']], [['root', '--out', 'a', 'b']], [['--what']]])(
    'says what is wrong with %j',
    async (args) => {
      await expect(runKeys(args)).rejects.toThrow(UsageError);
    },
  );

  it('makes a cluster by a root key that no data folder ever holds, once', async () => {
    await runKeys(['root', '--out', path('root.key')]);
    const db = await openPglite(null, silent);
    await migrate(db, silent);
    const settings = { kek: null, dataDir: path('data'), mayMakeKek: true };
    const made = await loadKeyring(db, { ...settings, rootKeyFile: path('root.key') }, silent);
    await expect(stat(path('data/cp/keys/root.key'))).rejects.toThrow('ENOENT');
    const again = loadKeyring(db, { ...settings, rootKeyFile: path('root.key') }, silent);
    await expect(again).rejects.toThrow(KeyringError);
    expect((await loadKeyring(db, settings, silent)).rootPublicKey).toBe(made.rootPublicKey);
    await db.close();
  });
});
