import { describe, expect, it } from 'vitest';
import { TEST_PEPPER, TestConfig } from '../../../test/support/builders.ts';
import { type Breaks, inSlices, NO_BREAKS, type Sliced } from '../../base/slices.ts';
import { HANDLERS } from '../../plugins/handlers.ts';
import { buildTables, buildTablesInSlices } from '../../tables/build.ts';
import { nodeBreaks } from './breaks.ts';
import { nodeCrypto } from './crypto.ts';

const CONSUMERS = 20_000;

/** Turns that the event loop made while the work was under way. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns += 1;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  isOver = true;
  return turns;
}

function* spinning(ms: number): Sliced<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) yield;
}

describe('breaks', () => {
  it('let other work have its turn every few milliseconds, and not for each step', async () => {
    const turns = await turnsDuring(() => inSlices(spinning(200), nodeBreaks(5)));

    expect(turns).toBeGreaterThan(5);
    expect(turns).toBeLessThan(100);
  });

  it('come while large tables are built; without them nothing else is done', async () => {
    const config = new TestConfig();
    for (let n = 0; n < CONSUMERS; n++) {
      config.put('consumers', { id: idOf(n), username: `consumer-${n}`, custom_id: null });
    }
    const replica = config.replica();
    const deps = {
      handlers: HANDLERS,
      runtime: 'node',
      crypto: nodeCrypto,
      pepper: TEST_PEPPER,
    } as const;
    const build = (breaks: Breaks) => () => buildTablesInSlices(replica, deps, null, breaks);

    expect(await turnsDuring(build(nodeBreaks(1)))).toBeGreaterThan(3);
    // The mutant: it never gives way.
    expect(await turnsDuring(build(NO_BREAKS))).toBeLessThan(2);
    const [sliced, once] = [await build(nodeBreaks(1))(), buildTables(replica, deps, null)];
    expect(sliced.ok && sliced.tables.hash).toBe(once.ok && once.tables.hash);
    expect(
      sliced.ok && [...sliced.tables.workspaces.values()].map(({ records }) => records),
    ).toEqual(once.ok && [...once.tables.workspaces.values()].map(({ records }) => records));
  });
});

function idOf(n: number): string {
  return `00000009-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}
