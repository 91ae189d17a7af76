/**
 * A process of its own that does to a folder what a data plane does to it: reads the cache and the
 * identity, saves a change, writes the cache anew, raises the high-water mark. It says what it is at
 * and what came of it, a line each, and goes on after a failure.
 *
 *     node saving-child.ts FOLDER INPUT [MUTANT]
 */
import crypto from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import type { ConfigStore } from '#shared/platform/platform.ts';
import type { IdentityStore, StoredIdentity } from '#shared/sync/identity.ts';
import type { SavedConfig } from './judge.ts';

const [folder = '', input = '', mutant = ''] = process.argv.slice(2);

// So that the names of temporary files are known to who looks at the system calls.
crypto.randomUUID = () => '00000000-0000-4000-8000-000000000000';
syncBuiltinESMExports();
const { makeStores } = await import('./mutants.ts');

const configs: readonly SavedConfig[] = JSON.parse(readFileSync(input, 'utf8'));
const { store, fresh, identities } = makeStores(
  mutant,
  join(folder, 'config.json'),
  join(folder, 'node.json'),
);

// At once, and by another thread than the one that faults are counted in.
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

async function step(name: string, work: () => Promise<unknown>): Promise<void> {
  say(`begin ${name}`);
  try {
    await work();
    say(`done ${name}`);
  } catch (error) {
    say(`failed ${name} ${error instanceof Error ? error.message : String(error)}`);
  }
}

function save(to: ConfigStore, n: number): Promise<void> {
  return step(`config ${n}`, async () => {
    const config = configs[n];
    if (config === undefined) throw new Error(`no configuration ${n}`);
    await to.save({ ...config, nodes: new Map(config.nodes) });
  });
}

async function raise(to: IdentityStore, revision: number): Promise<void> {
  await step(`mark ${revision}`, async () => {
    const identity: StoredIdentity | null = await to.load();
    if (identity?.tag !== 'joined') throw new Error('no identity');
    await to.save({ ...identity, highWater: { epoch: 1, revision } });
  });
}

await step('load', () => store.load());
await save(store, 1); // added to what is there
await raise(identities, 2);
await save(store, 2);
await save(fresh, 3); // written anew: this one has not read the file
await raise(identities, 4);
await save(fresh, 4);
say('end');
