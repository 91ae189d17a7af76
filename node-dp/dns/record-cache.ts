/** Records by name and type, for as long as they live; one question at a time for each. */
import type { MaybePromise } from '#shared/base/maybe-promise.ts';
import type { Clock } from '#shared/platform/platform.ts';
import type { Outcome, Question } from './message.ts';

/** What is known of a name and type, beyond what a server can answer. */
export type Known = Outcome | { readonly tag: 'unanswered'; readonly reason: string };

/** Seconds. Named as Kong's `dns_*_ttl`. */
export interface Lives {
  /** Of records; null: as long as they say. */
  readonly valid: number | null;
  /** Of records that have ended and cannot be had anew. */
  readonly stale: number;
  /** Of the knowledge that there is no such name, or nothing of the type. */
  readonly notFound: number;
  /** Of a failure. */
  readonly error: number;
}

/** 0 would mean a question per request; a week is what RFC 8767 section 4 suggests at most. */
export const TTL_SECONDS_MIN = 1;
export const TTL_SECONDS_MAX = 604_800;

interface Entry {
  readonly known: Known;
  /** On the monotonic clock, ms. */
  readonly expiresAt: number;
}

export class RecordCache {
  readonly #ask: (question: Question) => Promise<Outcome>;
  readonly #clock: Clock;
  readonly #lives: Lives;
  readonly #sizeMax: number;
  /** Those used last at the end. */
  readonly #entries = new Map<string, Entry>();
  readonly #asking = new Map<string, Promise<Entry>>();

  /** @param sizeMax  entries kept; those unused for longest make room */
  constructor(
    ask: (question: Question) => Promise<Outcome>,
    clock: Clock,
    lives: Lives,
    sizeMax: number,
  ) {
    this.#ask = ask;
    this.#clock = clock;
    this.#lives = lives;
    this.#sizeMax = sizeMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  clear(): void {
    this.#entries.clear();
  }

  /** Never rejects: a failure is known for a while, too. */
  get(question: Question): MaybePromise<Entry> {
    const key = `${question.type} ${question.name}`;
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.expiresAt > this.#clock.monotonic()) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      return entry;
    }
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#load(key, question);
      this.#asking.set(key, asking);
    }
    return asking;
  }

  async #load(key: string, question: Question): Promise<Entry> {
    const known = await this.#answer(question);
    const expiresAt = this.#clock.monotonic() + this.#lifeMs(known);
    const entry = { known, expiresAt };
    this.#asking.delete(key);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#sizeMax) break;
      this.#entries.delete(oldest);
    }
    return entry;
  }

  async #answer(question: Question): Promise<Known> {
    try {
      return await this.#ask(question);
    } catch (error) {
      // Whatever it was: a name must not stay unknown for ever because of it.
      return { tag: 'unanswered', reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #lifeMs(known: Known): number {
    switch (known.tag) {
      case 'addresses':
      case 'services':
      case 'alias': {
        const seconds = this.#lives.valid ?? known.ttlSeconds;
        return Math.min(Math.max(seconds, TTL_SECONDS_MIN), TTL_SECONDS_MAX) * 1000;
      }
      case 'no_name':
      case 'no_data':
        return this.#lives.notFound * 1000;
      case 'refused':
      case 'unanswered':
        return this.#lives.error * 1000;
    }
  }
}
