import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import type { Position } from '../wire/frames.ts';
import { Breaker, HEALTHY_MS, type TextPlace } from './breaker.ts';
import type { BuildOutcome } from './state.ts';

const WELL: BuildOutcome = { ok: true, quarantined: [] };
const BROKEN: BuildOutcome = { ok: false, entity: null, detail: 'broken' };

const at = (revision: number): Position => ({ epoch: 1, revision, hash: `hash-${revision}` });

/** Processes that follow one another over one disk. */
class Disk implements TextPlace {
  text: string | null = null;
  writes = 0;
  isFull = false;
  hangs = false;

  async read(): Promise<string | null> {
    return this.text;
  }

  async write(text: string): Promise<void> {
    if (this.isFull) throw new Error('ENOSPC');
    if (this.hangs) return new Promise(() => {});
    this.text = text;
    this.writes += 1;
  }
}

let disk: Disk;
let clock: FakeClock;
let proven: number[];
let log: string[];

beforeEach(() => {
  disk = new Disk();
  clock = new FakeClock();
  proven = [];
  log = [];
});

function boot(release = '1.0.0', by = clock): Promise<Breaker> {
  return Breaker.open({
    place: disk,
    clock: by,
    release,
    logger: { log: (_level, message) => log.push(message) },
    onProven: ({ revision }) => proven.push(revision),
  });
}

/** Serves it and is gone before it could prove itself. */
async function crashOn(revision: number): Promise<void> {
  // Its timers end with it.
  const breaker = await boot('1.0.0', new FakeClock());
  await breaker.guard(at(revision), async () => WELL);
}

describe('a configuration on trial', () => {
  it('is written down before it is built', async () => {
    const breaker = await boot();
    let seen: string | null = null;
    await breaker.guard(at(1), async () => {
      seen = disk.text;
      return WELL;
    });
    expect(seen).toContain('hash-1');
  });

  it('has proven itself when it was served for a while', async () => {
    const breaker = await boot();
    await breaker.guard(at(1), async () => WELL);
    await clock.advance(HEALTHY_MS - 1);
    expect(proven).toEqual([]);
    await clock.advance(1);
    expect(proven).toEqual([1]);
    const writes = disk.writes;
    for (let start = 0; start < 5; start += 1) await crashOn(1);
    // On no further trial, however often the process ends.
    expect(disk.writes).toBe(writes);
    expect((await boot()).crashed).toEqual([]);
  });

  it('is tried again after one crash, and refused after two', async () => {
    await crashOn(1);
    expect((await boot()).crashed).toEqual([]);
    await crashOn(1);
    const breaker = await boot();
    expect(breaker.crashed).toEqual([at(1)]);
    let builds = 0;
    const outcome = await breaker.guard(at(1), async () => {
      builds += 1;
      return WELL;
    });
    expect(outcome).toMatchObject({ ok: false, code: 'crashed' });
    expect(builds).toBe(0);
    expect(log).toContain('configuration refused: the node crashed as it began to serve it');
  });

  it('is refused for good: later processes do not try it again', async () => {
    await crashOn(1);
    await crashOn(1);
    for (let start = 0; start < 3; start += 1) {
      const outcome = await (await boot()).guard(at(1), async () => WELL);
      expect(outcome.ok).toBe(false);
    }
  });

  it('is forgotten once a newer one has proven itself', async () => {
    await crashOn(1);
    await crashOn(1);
    const breaker = await boot();
    await breaker.guard(at(2), async () => WELL);
    expect(breaker.crashed).toEqual([at(1)]);
    await clock.advance(HEALTHY_MS);
    expect(breaker.crashed).toEqual([]);
  });

  it('stays refused while an older one serves', async () => {
    const first = await boot();
    await first.guard(at(1), async () => WELL);
    await clock.advance(HEALTHY_MS);
    await crashOn(2);
    await crashOn(2);
    const breaker = await boot();
    expect(await breaker.guard(at(1), async () => WELL)).toBe(WELL);
    await clock.advance(HEALTHY_MS);
    expect(breaker.crashed).toEqual([at(2)]);
  });

  it('stays refused when an older one proves itself', async () => {
    await crashOn(3);
    await crashOn(3);
    const breaker = await boot();
    await breaker.guard(at(2), async () => WELL);
    await clock.advance(HEALTHY_MS);
    expect(proven).toEqual([2]);
    expect(breaker.crashed).toEqual([at(3)]);
  });

  it('is not to blame when the process is told to end', async () => {
    for (let start = 0; start < 3; start += 1) {
      const breaker = await boot();
      await breaker.guard(at(1), async () => WELL);
      await breaker.end();
    }
    expect((await boot()).crashed).toEqual([]);
  });

  it('is no longer on trial when it cannot be built', async () => {
    for (let start = 0; start < 3; start += 1) {
      expect(await (await boot()).guard(at(1), async () => BROKEN)).toBe(BROKEN);
    }
    expect((await boot()).crashed).toEqual([]);
  });

  it('is on one trial only, however often this process builds it', async () => {
    const breaker = await boot();
    for (let build = 0; build < 3; build += 1) await breaker.guard(at(1), async () => WELL);
    expect((await boot()).crashed).toEqual([]);
  });

  it('gets another chance with another release', async () => {
    await crashOn(1);
    await crashOn(1);
    expect((await boot('1.0.1')).crashed).toEqual([]);
  });

  it('is not blamed for what one served before it did, when each crashed once', async () => {
    const first = await boot();
    await first.guard(at(1), async () => WELL);
    await first.guard(at(2), async () => WELL);
    expect((await boot()).crashed).toEqual([]);
  });
});

describe('a disk in trouble', () => {
  it('keeps nothing from being served', async () => {
    disk.isFull = true;
    const breaker = await boot();
    expect(await breaker.guard(at(1), async () => WELL)).toBe(WELL);
    expect(log).toContain('the record of trials cannot be written');
  });

  it('delays what is served by its bound only', async () => {
    const breaker = await boot();
    disk.hangs = true;
    let outcome: BuildOutcome | null = null;
    void breaker.guard(at(1), async () => WELL).then((result) => (outcome = result));
    await clock.advance(2_000);
    expect(outcome).toBe(WELL);
  });

  it.each(['', 'null', '{"format":1}', '{"format":2,"trials":[]}', '\u0000', '[]'])(
    'takes a damaged record for none: %j',
    async (text) => {
      disk.text = text;
      const breaker = await boot();
      expect(await breaker.guard(at(1), async () => WELL)).toBe(WELL);
    },
  );
});

it('remembers a bounded number of configurations', async () => {
  for (let revision = 1; revision <= 40; revision += 1) {
    await crashOn(revision);
    await crashOn(revision);
  }
  expect((await boot()).crashed.length).toBe(16);
  expect(disk.text?.length ?? 0).toBeLessThan(4096);
});

describe('what is refused, where there is nothing else to serve', () => {
  async function resort(breaker: Breaker): Promise<BuildOutcome> {
    return breaker.guard(at(1), async () => WELL, true);
  }

  it('is tried after all, after a wait that grows with each try, to a minute at most', async () => {
    await crashOn(1);
    await crashOn(1);
    const waits: number[] = [];
    for (let start = 0; start < 8; start += 1) {
      const breaker = await boot();
      waits.push(breaker.resortMs('hash-1'));
      expect(breaker.crashed).toEqual([at(1)]);
      expect(await resort(breaker)).toBe(WELL);
    }
    expect(waits).toEqual([2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1000));
  });

  it('is counted before it is built', async () => {
    await crashOn(1);
    await crashOn(1);
    const breaker = await boot();
    await breaker.guard(
      at(1),
      async () => {
        expect((await boot()).resortMs('hash-1')).toBe(4_000);
        return WELL;
      },
      true,
    );
    expect(log).toContain('serving what the node crashed with: there is nothing else');
  });

  it('is good once it was served for a while, and no longer refused', async () => {
    await crashOn(1);
    await crashOn(1);
    // Of the processes before it nobody is left.
    clock = new FakeClock();
    await resort(await boot());
    await clock.advance(HEALTHY_MS);
    expect(proven).toEqual([1]);
    const breaker = await boot();
    expect(breaker.crashed).toEqual([]);
    expect(await breaker.guard(at(1), async () => WELL)).toBe(WELL);
  });

  it('waits no longer for a process that was told to end', async () => {
    await crashOn(1);
    await crashOn(1);
    const breaker = await boot();
    await resort(breaker);
    await breaker.end();
    expect((await boot()).resortMs('hash-1')).toBe(2_000);
  });

  it('is remembered by a record that an earlier process wrote without a count', async () => {
    await crashOn(1);
    await crashOn(1);
    await boot();
    disk.text = (disk.text ?? '').replaceAll(',"resorts":0', '').replaceAll('"resorts":0,', '');
    expect(disk.text).not.toContain('resorts');
    const breaker = await boot();
    expect(breaker.crashed).toEqual([at(1)]);
    expect(breaker.resortMs('hash-1')).toBe(2_000);
  });
});
