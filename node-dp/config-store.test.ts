import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { storedConfig } from '../test/conformance/stored-config.ts';
import { FileConfigStore } from './config-store.ts';

let folder = '';
let path = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-cache-'));
  path = join(folder, 'config.json');
});
afterEach(() => rm(folder, { recursive: true }));

describe('the configuration cache', () => {
  it('is readable by its owner only', async () => {
    await new FileConfigStore(path).save(storedConfig('one', 1));

    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('says that there is none', async () => {
    expect(await new FileConfigStore(path).read()).toEqual({ tag: 'none' });
  });

  it('is no configuration when empty, and says so', async () => {
    await writeFile(path, '');

    expect(await new FileConfigStore(path).read()).toEqual({ tag: 'unusable', reason: 'empty' });
  });

  it('is no configuration when cut anywhere', async () => {
    await new FileConfigStore(path).save(storedConfig('one', 20));
    const whole = await readFile(path);
    const cuts = [1, 17, 18, 100, whole.length >> 1, whole.length - 100, whole.length - 1];

    const tags = cuts.map(async (length, i) => {
      const cut = join(folder, `cut-${i}`);
      await writeFile(cut, whole.subarray(0, length));
      return (await new FileConfigStore(cut).read()).tag;
    });

    expect(await Promise.all(tags)).toEqual(cuts.map(() => 'unusable'));
  });

  it('is no configuration with any one bit flipped', async () => {
    await new FileConfigStore(path).save(storedConfig('one', 2));
    const whole = await readFile(path);

    const tags = Array.from({ length: whole.length }, async (_, i) => {
      const copy = Buffer.from(whole);
      copy[i] = (copy[i] ?? 0) ^ (1 << (i % 8));
      const flipped = join(folder, `flipped-${i}`);
      await writeFile(flipped, copy);
      return (await new FileConfigStore(flipped).read()).tag;
    });

    expect(new Set(await Promise.all(tags))).toEqual(new Set(['unusable']));
  });

  it('says why a file cannot be read', async () => {
    await writeFile(join(folder, 'file'), '');

    const state = await new FileConfigStore(join(folder, 'file', 'config.json')).read();

    expect(state).toEqual({ tag: 'unusable', reason: 'cannot be read (ENOTDIR)' });
  });

  it('keeps the old content when a save fails', async () => {
    const store = new FileConfigStore(path);
    await store.save(storedConfig('old', 3));
    const inNowhere = new FileConfigStore(join(folder, 'missing', 'config.json'));

    await expect(inNowhere.save(storedConfig('new', 3))).rejects.toThrow('ENOENT');

    expect(await store.load()).toEqual(storedConfig('old', 3));
  });

  it('goes on saving after a save that failed', async () => {
    const store = new FileConfigStore(path);
    await store.save(storedConfig('one', 1));
    await chmod(folder, 0o500);
    // Root may write anywhere: then the first save simply succeeds.
    await store.save(storedConfig('two', 1)).catch(() => {});
    await chmod(folder, 0o700);
    await store.save(storedConfig('three', 1));

    expect(await store.load()).toEqual(storedConfig('three', 1));
  });

  it('is old or new, never less, when the process is killed in the middle of saving', async () => {
    const kills = 8;

    for (let i = 0; i < kills; i += 1) {
      // A different moment of the save each time.
      await killDuringSave(i * 3);
    }
  });

  it('sweeps away what a crash left beside it, and nothing else', async () => {
    const store = new FileConfigStore(path);
    await store.save(storedConfig('one', 1));
    await writeFile(join(folder, '.config.json.0000.tmp'), 'half');
    await writeFile(join(folder, '.other.json.0000.tmp'), 'not ours');

    await store.sweep();

    expect((await readdir(folder)).toSorted()).toEqual(['.other.json.0000.tmp', 'config.json']);
  });
});

async function killDuringSave(afterMs: number): Promise<void> {
  const child = fork(new URL('../test/support/save-loop.ts', import.meta.url), [path]);
  await once(child, 'message');
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  child.kill('SIGKILL');
  await once(child, 'exit');

  const state = await new FileConfigStore(path).read();

  expect(state.tag).toBe('read');
  if (state.tag !== 'read') return;
  const mark = /round \d+/.exec(state.config.manifest)?.[0] ?? '';
  expect(state.config).toEqual(storedConfig(mark, 2000));
}
