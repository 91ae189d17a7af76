/**
 * Every system call that saving makes on a data plane's folder, each time it is made: the process is
 * killed there, or the call fails, or takes less than it says. Afterwards a start finds the old
 * configuration or the new one, whole and proven, and an identity; never anything between.
 */
import { execFile, execFileSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import type { ConfigRecord } from '#shared/config/record.ts';
import type { StoredConfig } from '#shared/platform/platform.ts';
import { TestCluster } from '../../support/dp-folder.ts';
import { consumerRecord, largeRecords } from '../../support/large-configuration.ts';
import { type Found, type SavedConfig, startFrom } from './judge.ts';
import { MUTANTS } from './mutants.ts';

const CHILD = fileURLToPath(new URL('saving-child.ts', import.meta.url));
const SHAPE = { routes: 60, services: 10, plugins: 5, consumers: 120 };
const CONFIGS = 5;
const CALLS = [
  'openat',
  'read',
  'pread64',
  'write',
  'pwrite64',
  'writev',
  'statx',
  'fstat',
  'newfstatat',
  'fchmod',
  'fsync',
  'fdatasync',
  'ftruncate',
  'truncate',
  'close',
  'rename',
  'renameat2',
  'unlink',
  'unlinkat',
  'mkdir',
  'getdents64',
];
const WRITES = ['write', 'pwrite64', 'writev'];
/** A call that is made more often than this has no end. */
const TURNS_MAX = 60;
const PARALLEL = 2;
const CHILD_MS_MAX = 60_000;

const hasStrace = tryStrace();
const run = promisify(execFile);

let base = '';
let cluster: TestCluster;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'headgate-calls-'));
  cluster = await TestCluster.create();
  const records: ConfigRecord[] = [...largeRecords(cluster, 9, SHAPE)];
  const configs: SavedConfig[] = [];
  let first: StoredConfig | null = null;
  for (let n = 0; n < CONFIGS; n++) {
    const config = await cluster.publish([...records, consumerRecord(1000, n)]);
    first ??= config;
    const { nodes, ...signed } = config;
    configs.push({ ...signed, nodes: [...nodes] });
  }
  await writeFile(join(base, 'configs.json'), JSON.stringify(configs));
  await cluster.furnishWith(join(base, 'start'), must(first, 'one'), { epoch: 1, revision: 1 });
});
afterAll(() => rm(base, { recursive: true }));

interface Outcome {
  /** Standard output of the child, by line. */
  readonly lines: readonly string[];
  /** The system calls, as strace writes them. */
  readonly trace: string;
  readonly isKilled: boolean;
  readonly found: Found | Error;
}

let runs = 0;

/** @param inject  as strace wants it; empty: nothing is done to the calls */
async function runChild(inject: string, mutant: string): Promise<Outcome> {
  const folder = join(base, `run-${(runs += 1)}`);
  await cp(join(base, 'start'), folder, { recursive: true });
  const dp = join(folder, 'dp');
  const tracePath = join(folder, 'trace');
  const temporaries = ['config.json', 'node.json'].map(
    (name) => `.${name}.00000000-0000-4000-8000-000000000000.tmp`,
  );
  const paths = ['', 'config.json', 'node.json', ...temporaries].map((name) => join(dp, name));
  const args = [
    '-f',
    '-qq',
    '-o',
    tracePath,
    // Quicker, but it loses the signals.
    ...(inject.includes('signal=') ? [] : ['--seccomp-bpf']),
    '-e',
    `trace=${CALLS.map((call) => `?${call}`).join()}`,
    ...(inject === '' ? [] : ['-e', `inject=${inject}`]),
    ...paths.flatMap((path) => ['-P', path.replace(/\/$/, '')]),
    process.execPath,
    CHILD,
    dp,
    join(base, 'configs.json'),
    mutant,
  ];
  // One thread, so that the calls have one order, and one count.
  const env = { PATH: process.env['PATH'], UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };
  const stdout = await run('strace', args, { env, timeout: CHILD_MS_MAX }).then(
    (ended) => ended.stdout,
    (error: { stdout?: string }) => error.stdout ?? '',
  );
  const found = await startFrom(dp).catch((error: unknown) =>
    error instanceof Error ? error : new Error(String(error)),
  );
  const trace = await readFile(tracePath, 'utf8');
  await rm(folder, { recursive: true });
  const lines = stdout.split('\n').filter((line) => line !== '');
  const isKilled = inject.includes('signal=KILL') && lines.at(-1) !== 'end';
  return { lines, trace, isKilled, found };
}

/** What is wrong with how it came out; null when nothing is. */
function wrong({ lines, isKilled, found }: Outcome): string | null {
  if (found instanceof Error) return `a start fails: ${found.message}`;
  const { state, identity, names } = found;
  if (state === null) return 'no configuration is left';
  if (names.join() !== 'config.json,node.json') return `left behind: ${names.join()}`;
  const last = (what: string): number =>
    Math.max(
      ...lines.map((line) => Number(new RegExp(`^done ${what} (\\d+)`).exec(line)?.[1] ?? 0)),
    );
  const begun = (what: string): number =>
    Math.max(
      ...lines.map((line) => Number(new RegExp(`^begin ${what} (\\d+)`).exec(line)?.[1] ?? 0)),
    );
  // Configuration 0 has revision 1.
  const held = state.replica.revision - 1;
  if (held < last('config') || held > begun('config')) {
    return `configuration ${held} where ${last('config')} to ${begun('config')} were saved`;
  }
  const mark = identity.highWater.revision;
  if (mark < last('mark') || mark > Math.max(1, begun('mark'))) return `the mark is ${mark}`;
  if (isKilled) return null;
  if (lines.at(-1) !== 'end') return `the process ended after ${lines.at(-1)}`;
  // One fault is over when it is over.
  const failures = lines.filter((line) => line.startsWith('failed')).length;
  if (failures > 1) return `${failures} steps failed by one fault`;
  return null;
}

interface Matrix {
  readonly points: number;
  readonly faults: readonly string[];
}

/** Every turn of every call, until it is not made any more; of a mutant, until it is found. */
async function matrix(mutant: string, action: string): Promise<Matrix> {
  const faults: string[] = [];
  let points = 0;
  const calls = action === 'retval=10' ? [...WRITES] : [...CALLS];
  const work = async (): Promise<void> => {
    for (let call = calls.shift(); call !== undefined; call = calls.shift()) {
      for (let turn = 1; turn <= TURNS_MAX; turn++) {
        if (mutant !== '' && faults.length > 0) return;
        const inject = `${call}:${action}:when=${turn}`;
        const outcome = await runChild(inject, mutant);
        const wasHit = outcome.isKilled || outcome.trace.includes('(INJECTED)');
        if (!wasHit) break;
        points += 1;
        const fault = wrong(outcome);
        if (fault !== null) faults.push(`${inject}: ${fault}\n${outcome.lines.join('\n')}`);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return { points, faults };
}

/** What is not in the order that outlives a loss of power; null when all is. */
function disorder(trace: string): string | null {
  const calls = trace.split('\n').flatMap((line) => /^\d+ +(\w+)\((.*)$/.exec(line) ?? []).length;
  if (calls === 0) return 'nothing was traced';
  let unsynced = 0;
  let renames = 0;
  let folderSyncs = 0;
  for (const line of trace.split('\n')) {
    const call = /^\d+ +(\w+)\(/.exec(line)?.[1] ?? '';
    if (WRITES.includes(call)) unsynced += 1;
    if (call === 'fdatasync') unsynced = 0;
    if (call === 'fsync') {
      if (unsynced === 0) folderSyncs += 1;
      unsynced = 0;
    }
    if (!call.startsWith('rename')) continue;
    if (unsynced > 0) return 'renamed before it was synced';
    renames += 1;
  }
  if (unsynced > 0) return 'written and never synced';
  return folderSyncs < renames ? 'renamed, and the folder never synced' : null;
}

describe.skipIf(!hasStrace)('saving, at every system call', () => {
  it('syncs before it renames, and the folder after', { timeout: 60_000 }, async () => {
    const outcome = await runChild('', '');
    expect(outcome.lines).toContain('end');
    expect(outcome.lines.filter((line) => line.startsWith('failed'))).toEqual([]);
    expect(wrong(outcome)).toBeNull();
    expect(disorder(outcome.trace), outcome.trace).toBeNull();
  });

  it.each(['signal=KILL', 'error=EIO', 'error=ENOSPC', 'retval=10'])(
    'leaves the old or the new, whole: %s',
    { timeout: 300_000 },
    async (action) => {
      const { points, faults } = await matrix('', action);
      console.log(`${action}: ${points} points`);
      expect(faults).toEqual([]);
      expect(points).toBeGreaterThan(action === 'retval=10' ? 3 : 20);
    },
  );

  it.each([
    ['in-place', 'signal=KILL'],
    ['blind', 'retval=10'],
  ])(
    'finds what is wrong with a writer that is %s',
    { timeout: 120_000 },
    async (mutant, action) => {
      expect((await matrix(mutant, action)).faults).not.toEqual([]);
    },
  );

  it.each(['unsynced', 'rename-first'])(
    'finds what is wrong with a writer that is %s',
    { timeout: 60_000 },
    async (mutant) => {
      const { trace } = await runChild('', mutant);
      expect(disorder(trace)).not.toBeNull();
    },
  );

  it('knows all mutants', () => {
    expect(MUTANTS).toEqual(['in-place', 'unsynced', 'rename-first', 'blind']);
  });
});

it('has the tool it needs in CI', () => {
  expect(hasStrace || process.env['CI'] !== 'true', 'strace is missing').toBe(true);
});

function tryStrace(): boolean {
  try {
    execFileSync('strace', ['-qq', '-o', '/dev/null', 'true']);
    return true;
  } catch {
    return false;
  }
}
