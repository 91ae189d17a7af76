/**
 * The schema level that a deployment asks its control plane for. While a Worker is deployed, isolates of two
 * releases share one hub and one KV, in which there is one head. So the hub asks for what the older of them
 * reads, as long as it may be there.
 */
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import type { Clock } from '#shared/platform/platform.ts';
import { defineFields, type RecordOf } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { HubStore } from './hub-store.ts';

/** How long after it was last heard an older isolate may still be there. */
export const OLDER_MS = 10 * 60_000;
/** It is not written down more often than this that one was heard. */
const WRITE_INTERVAL_MS = 60_000;
/** Level of isolates that do not say which: those of the first release. */
const FIRST_LEVEL = 1;

const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
/** `newest`: of the release that wrote it. `at`: epoch ms of when an isolate of `level` was heard last. */
const recordFields = defineFields({ newest: count, level: count, at: count });
type Heard = RecordOf<typeof recordFields>;

export class IsolateLevels {
  readonly #store: Pick<HubStore, 'getMeta' | 'setMeta'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #newest: number;
  #heard: Heard;

  /** @param held  level of the head that the hub has kept; null when it has none */
  constructor(
    store: Pick<HubStore, 'getMeta' | 'setMeta'>,
    clock: Pick<Clock, 'now'>,
    held: number | null,
    newest: number = SCHEMA_LEVEL,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#newest = newest;
    const kept = readHeard(store.getMeta('isolate_levels'));
    this.#heard = kept ?? { newest: 0, level: newest, at: 0 };
    // The first time of a release: isolates of the one before it are out there.
    if (kept?.newest !== newest) this.#write(Math.min(held ?? newest, newest));
  }

  /** What all isolates read. */
  get level(): number {
    const { level, at } = this.#heard;
    return this.#clock.now() - at < OLDER_MS ? level : this.#newest;
  }

  /** An isolate has said which level it reads; not said: it is of the first release. */
  heard(level: number = FIRST_LEVEL): void {
    if (level >= this.#newest || level < 0 || !Number.isSafeInteger(level)) return;
    const isKnown = level >= this.level;
    if (isKnown && this.#clock.now() - this.#heard.at < WRITE_INTERVAL_MS) return;
    this.#write(Math.min(level, this.level));
  }

  #write(level: number): void {
    this.#heard = { newest: this.#newest, level, at: this.#clock.now() };
    this.#store.setMeta('isolate_levels', JSON.stringify(this.#heard));
  }
}

function readHeard(text: string | null): Heard | null {
  if (text === null) return null;
  // Only ever written above; what cannot be read is as good as none.
  const parsed = parseRecord(recordFields, parseJson(text));
  return parsed.ok ? parsed.value : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
