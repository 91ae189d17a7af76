/**
 * Counters that all nodes of a group share: nodes say by how much, and hear what it comes to. Each control plane
 * adds up for a moment and tells the database, which knows what the others have; so they agree within seconds,
 * and the number of statements goes by the clock.
 */
import type { Clock, Logger } from '#shared/platform/platform.ts';
import type { ParamsOf, ResultOf, UpMethods } from '#shared/wire/rpc-methods.ts';
import type { Db } from '../store/db.ts';
import { clean } from './clean.ts';

/** Counters held at a time; of further ones nothing is kept. */
export const COUNTERS_HELD_MAX = 10_000;
/** From the first increment to the database. */
export const FLUSH_MS = 1_000;
/** How long a window is kept beyond its end, and how far ahead of time one may begin: clocks differ. */
const SLACK_S = 60;
/** Rows in one statement. */
const FLUSH_BATCH = 1_000;

type Increment = ParamsOf<UpMethods['counters']>['increments'][number];

interface Counter {
  readonly groupId: string;
  readonly name: string;
  readonly window: number;
  readonly seconds: number;
  /** As the database said last. */
  known: number;
  /** Not told to the database yet. */
  added: number;
  /** Somebody asked, so what others have counted is of interest. */
  isAsked: boolean;
}

export interface SharedCountersOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class SharedCounters {
  readonly #options: SharedCountersOptions;
  readonly #counters = new Map<string, Counter>();
  #cancelTimer: (() => void) | null = null;
  #flushing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: SharedCountersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#counters.size;
  }

  add(
    groupId: string,
    { increments }: ParamsOf<UpMethods['counters']>,
  ): ResultOf<UpMethods['counters']> {
    return { totals: increments.map((increment) => this.#add(groupId, increment)) };
  }

  /** Tells the database, and hears of it. */
  async flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    await this.#flushing;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.flush();
  }

  #add(groupId: string, { name, window, seconds, by }: Increment): number {
    const nowS = this.#options.clock.now() / 1000;
    const key = `${groupId} ${window} ${seconds} ${name}`;
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      const isTimely = window < nowS + SLACK_S && window + seconds > nowS - SLACK_S;
      if (!isTimely || clean(name) !== name || this.#isFull(nowS)) return -1;
      counter = { groupId, name, window, seconds, known: 0, added: 0, isAsked: false };
      this.#counters.set(key, counter);
    }
    counter.added += by;
    counter.isAsked = true;
    this.#wake();
    return Math.min(Number.MAX_SAFE_INTEGER, counter.known + counter.added);
  }

  #isFull(nowS: number): boolean {
    if (this.#counters.size < COUNTERS_HELD_MAX) return false;
    this.#forget(nowS);
    return this.#counters.size >= COUNTERS_HELD_MAX;
  }

  /** What is over is dropped, unless the database has not heard of it. */
  #forget(nowS: number): void {
    for (const [key, { window, seconds, added }] of this.#counters) {
      if (added === 0 && window + seconds + SLACK_S < nowS) this.#counters.delete(key);
    }
  }

  #wake(): void {
    if (this.#isClosed || this.#cancelTimer !== null) return;
    this.#cancelTimer = this.#options.clock.setTimer(FLUSH_MS, () => {
      this.#cancelTimer = null;
      void this.flush();
    });
  }

  async #flush(): Promise<void> {
    this.#forget(this.#options.clock.now() / 1000);
    const asked = [...this.#counters.values()].filter(({ isAsked }) => isAsked);
    for (let start = 0; start < asked.length; start += FLUSH_BATCH) {
      const batch = asked.slice(start, start + FLUSH_BATCH);
      const told = batch.map((counter) => ({ counter, by: counter.added }));
      for (const counter of batch) counter.isAsked = false;
      try {
        await this.#merge(told);
      } catch (error) {
        for (const counter of batch) counter.isAsked = true;
        this.#options.logger.log('warn', 'shared counters not written', {
          error: error instanceof Error ? error.message : String(error),
        });
        this.#wake();
        return;
      }
    }
  }

  async #merge(told: readonly { counter: Counter; by: number }[]): Promise<void> {
    // In one order everywhere, so that two control planes never wait for each other's rows.
    const rows = told
      .map(({ counter: { groupId, name, window, seconds }, by }, index) => {
        return { index, group_id: groupId, name, window, seconds, by };
      })
      .toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
    const { rows: totals } = await this.#options.db.query<{ index: number; total: number }>(
      `WITH r AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::jsonb) AS r(index integer,
           group_id uuid, name text, "window" bigint, seconds integer, by bigint)),
         merged AS (
           INSERT INTO shared_counters AS c (group_id, name, window_start, seconds, total, expires_at)
           SELECT group_id, name, "window", seconds, by,
             to_timestamp("window" + seconds) + interval '10 minutes' FROM r
           ON CONFLICT (group_id, name, window_start, seconds)
           DO UPDATE SET total = c.total + excluded.total
           RETURNING c.group_id, c.name, c.window_start, c.seconds, c.total)
       SELECT r.index, m.total FROM r JOIN merged m ON m.group_id = r.group_id AND m.name = r.name
         AND m.window_start = r."window" AND m.seconds = r.seconds`,
      [JSON.stringify(rows)],
    );
    for (const { index, total } of totals) {
      const entry = told[index];
      if (entry === undefined) continue;
      entry.counter.known = total;
      entry.counter.added -= entry.by;
    }
  }
}

function orderOf(row: { group_id: string; name: string; window: number; seconds: number }): string {
  return JSON.stringify([row.group_id, row.name, row.window, row.seconds]);
}
