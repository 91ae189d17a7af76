import { fork } from 'node:child_process';
import { once } from 'node:events';
import { hash } from 'node:crypto';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StoredConfig } from '#shared/platform/platform.ts';
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

    expect(await store.load()).toMatchObject({ signature: 'signature-three' });
  });

  it('is old or new, never less, when the process is killed in the middle of saving', async () => {
    const kills = 8;

    for (let i = 0; i < kills; i += 1) {
      // A different moment of the save each time.
      await killDuringSave(i * 3);
    }
  });

  it('adds what a change brings, and leaves the rest of the file as it is', async () => {
    const store = new FileConfigStore(path);
    const [one, two] = [storedConfig('one', 2000), storedConfig('two', 1)];
    await store.save(one);
    const before = await readFile(path);
    await store.save({ ...two, nodes: new Map([...one.nodes, ...two.nodes]) });
    const after = await readFile(path);

    expect(after.subarray(0, before.length).equals(before)).toBe(true);
    expect(after.length - before.length).toBeLessThan(1000);
    const state = await new FileConfigStore(path).read();
    expect(state).toMatchObject({
      tag: 'read',
      damage: null,
      config: { signature: two.signature },
    });
  });

  it('goes on adding to the file after a restart', async () => {
    const one = storedConfig('one', 2000);
    await new FileConfigStore(path).save(one);
    const { ino } = await stat(path);
    const again = new FileConfigStore(path);
    await again.read();
    await again.save({ ...one, signature: 'other' });

    expect((await stat(path)).ino).toBe(ino);
    expect(await again.load()).toMatchObject({ signature: 'other' });
  });

  it('is written anew once more was added than it held, and keeps what it is told to', async () => {
    const store = new FileConfigStore(path);
    const kept = storedConfig('kept', 3);
    await store.save(kept);
    store.keep(kept);
    const sizes: number[] = [];
    for (let round = 0; round < 24; round += 1) {
      await store.save(storedConfig(`r${round}`, 2000));
      sizes.push((await stat(path)).size);
    }

    // The kept one and the newest, as much again or a MiB, and what is added last.
    const one = sizes[0] ?? 0;
    expect(Math.max(...sizes)).toBeLessThan(2 * one + 1024 * 1024 + one);
    const state = await new FileConfigStore(path).read();
    expect(state).toMatchObject({ tag: 'read', config: { manifest: '{"manifest":"r23"}' } });
    const older = state.tag === 'read' ? state.older : [];
    const found = older.find(({ signature }) => signature === kept.signature);
    expect([...kept.nodes].filter(([id, text]) => found?.nodes.get(id) !== text)).toEqual([]);
  });

  it('falls back to the one before where the last save was cut off or damaged', async () => {
    const store = new FileConfigStore(path);
    await store.save(storedConfig('one', 50));
    const { size } = await stat(path);
    await store.save(storedConfig('two', 50));
    const whole = await readFile(path);
    const damaged = Buffer.from(whole);
    damaged[size + 500] = (damaged[size + 500] ?? 0) ^ 1;

    for (const bytes of [whole.subarray(0, size + 1), whole.subarray(0, -1), damaged]) {
      await writeFile(path, bytes);
      const again = new FileConfigStore(path);
      const state = await again.read();
      expect(state).toMatchObject({ tag: 'read', config: { signature: 'signature-one' } });
      expect(state).not.toMatchObject({ damage: null });
      // What stands behind the damage is not added to.
      await again.save(storedConfig('three', 2));
      expect(await again.load()).toEqual(storedConfig('three', 2));
    }
  });

  it('is written anew when the file is gone or is another one', async () => {
    const store = new FileConfigStore(path);
    await store.save(storedConfig('one', 5));
    await rm(path);
    await store.save(storedConfig('two', 5));
    expect(await store.load()).toMatchObject({ signature: 'signature-two' });
    await store.save(storedConfig('three', 5));
    await writeFile(path, 'something else');
    await store.save(storedConfig('four', 5));

    expect(await new FileConfigStore(path).load()).toMatchObject({ signature: 'signature-four' });
  });

  it('reads a file of the first format, and writes it in today’s at the next save', async () => {
    const config = storedConfig('old', 30);
    await writeFile(path, firstFormat(config));
    const store = new FileConfigStore(path);

    expect(await store.load()).toEqual(config);
    await store.save(storedConfig('new', 3));
    expect((await readFile(path, 'utf8')).startsWith('headgate-config 2\n')).toBe(true);
    expect(await store.load()).toEqual(storedConfig('new', 3));
    await writeFile(path, firstFormat(config).replace('old', 'odd'));
    expect(await store.read()).toEqual({
      tag: 'unusable',
      reason: 'its checksum does not match',
    });
  });

  it('is tightened when others may read it, and refused when it is no plain file', async () => {
    await new FileConfigStore(path).save(storedConfig('one', 1));
    await chmod(path, 0o644);
    expect(await new FileConfigStore(path).load()).toEqual(storedConfig('one', 1));
    expect((await stat(path)).mode & 0o777).toBe(0o600);

    await rename(path, `${path}.elsewhere`);
    await symlink(`${path}.elsewhere`, path);
    const linked = new FileConfigStore(path);
    expect(await linked.read()).toEqual({ tag: 'unusable', reason: 'a symbolic link' });
    await linked.save(storedConfig('two', 1));
    expect((await lstat(path)).isFile()).toBe(true);
    expect(await linked.load()).toEqual(storedConfig('two', 1));

    await rm(path);
    await mkdir(path);
    const reason = 'not a plain file';
    expect(await new FileConfigStore(path).read()).toEqual({ tag: 'unusable', reason });
  });

  it('is not read when it is larger than a cache can be', async () => {
    await writeFile(path, '');
    await truncate(path, 2 * 1024 ** 3);

    expect(await new FileConfigStore(path).read()).toMatchObject({ tag: 'unusable' });
  });
});

/** As the first release wrote it. */
function firstFormat({ nodes, ...signed }: StoredConfig): string {
  const lines = [JSON.stringify(signed), ...[...nodes].map((pair) => JSON.stringify(pair))];
  const content = `headgate-config 1\n${lines.map((line) => `${line}\n`).join('')}`;
  return `${content}sha256 ${hash('sha256', content, 'hex')}\n`;
}

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
  // The file may hold nodes of earlier rounds as well.
  const { nodes, ...signed } = storedConfig(mark, 2000);
  expect(state.config).toMatchObject(signed);
  expect([...nodes].filter(([id, text]) => state.config.nodes.get(id) !== text)).toEqual([]);
}
