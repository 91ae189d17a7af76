import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  acquireLock,
  ensurePrivateDir,
  LockedError,
  readPrivateFile,
  sweepTemporaries,
  UnusableFileError,
  writeFileAtomic,
} from './files.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

function* failing(): Generator<string> {
  yield 'half';
  throw new Error('source');
}

describe('an atomic write', () => {
  it('replaces the content and sets the mode', async () => {
    const path = join(folder, 'file');
    await writeFileAtomic(path, 'one', 0o644);
    await writeFileAtomic(path, new TextEncoder().encode('two'));

    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('leaves the old content and no rest when the content fails half way', async () => {
    const path = join(folder, 'file');
    await writeFileAtomic(path, 'old');

    await expect(writeFileAtomic(path, failing())).rejects.toThrow('source');

    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['file']);
  });
});

describe('a sweep', () => {
  it('takes away what a crash in the middle of an atomic write left, and nothing else', async () => {
    const left = '.config.json.00000000-0000-4000-8000-000000000000.tmp';
    for (const name of [left, 'config.json', '.hidden', 'other.tmp']) {
      await writeFileAtomic(join(folder, name), 'x');
    }

    await sweepTemporaries(folder);

    expect((await readdir(folder)).toSorted()).toEqual(['.hidden', 'config.json', 'other.tmp']);
  });
});

describe('a private file', () => {
  it('is tightened when others may read it', async () => {
    const path = join(folder, 'file');
    await writeFileAtomic(path, 'secret', 0o644);

    expect((await readPrivateFile(path, 100))?.bytes.toString()).toBe('secret');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is none where there is none, and not used where it is a link, a pipe or too large', async () => {
    const path = join(folder, 'file');
    expect(await readPrivateFile(path, 100)).toBeNull();
    await writeFileAtomic(path, 'x'.repeat(101));
    await expect(readPrivateFile(path, 100)).rejects.toThrow(UnusableFileError);
    await symlink(path, join(folder, 'link'));
    await expect(readPrivateFile(join(folder, 'link'), 1000)).rejects.toThrow('a symbolic link');
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(readPrivateFile(join(folder, 'pipe'), 1000)).rejects.toThrow('not a plain file');
  });
});

describe('a private folder', () => {
  it('is made with its parents, for the owner only', async () => {
    const path = join(folder, 'a', 'b');
    await ensurePrivateDir(path);

    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  it('is tightened when it stands open', async () => {
    const path = join(folder, 'open');
    await mkdir(path, { mode: 0o755 });
    await ensurePrivateDir(path);

    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });
});

describe('a lock', () => {
  it('is refused to a second taker, and names the holder', () => {
    const path = join(folder, 'lock');
    const lock = acquireLock(path);

    expect(() => acquireLock(path)).toThrow(LockedError);
    expect(() => acquireLock(path)).toThrow(String(process.pid));
    lock.release();
  });

  it('can be taken again after its release', () => {
    const path = join(folder, 'lock');
    acquireLock(path).release();
    acquireLock(path).release();

    expect(existsSync(path)).toBe(false);
  });

  it('is taken over from a process that is gone', async () => {
    const path = join(folder, 'lock');
    const gone = spawn(process.execPath, ['-e', '']);
    await once(gone, 'exit');
    writeFileSync(path, `${gone.pid} - x\n`);

    const lock = acquireLock(path);

    expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`^${process.pid} `));
    lock.release();
  });

  it('is taken over when its number belongs to a later process', () => {
    const path = join(folder, 'lock');
    writeFileSync(path, `${process.pid} some-boot/1 x\n`);

    acquireLock(path).release();

    expect(existsSync(path)).toBe(false);
  });

  it.each(['', 'garbage', '-1 - x', '0 - x'])('is taken over when the file says %j', (content) => {
    const path = join(folder, 'lock');
    writeFileSync(path, content);

    expect(() => acquireLock(path).release()).not.toThrow();
  });

  it('leaves a lock alone that was taken over by another', () => {
    const path = join(folder, 'lock');
    const lock = acquireLock(path);
    writeFileSync(path, `${process.ppid} - theirs\n`);

    lock.release();

    expect(readFileSync(path, 'utf8')).toContain('theirs');
  });
});
