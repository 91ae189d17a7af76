/**
 * The crash breaker: a configuration that takes the process with it is tried twice and no more.
 *
 * That it is on trial is written down before it is built, and crossed out when the process has served
 * it for a while. A process that finds a trial written down knows that it did not end well. One such
 * end may have had any other reason (an operator's `kill -9`, a machine that lost its power), so the
 * configuration gets a second try; after a second one it is refused until a newer one comes. A trial
 * that cannot be written down is none: what cannot be saved is served all the same.
 *
 * Where there is nothing else to serve, refusing it for good would be worse than what it is refused for:
 * then it is a last resort, tried again after a wait in which another one may come, and after a longer
 * one each time that the process ends with it.
 */
import { canonicalJson } from '../config/canonical.ts';
import { parseJson } from '../config/signed-text.ts';
import type { Clock, Logger } from '../platform/platform.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';
import type { Position } from '../wire/frames.ts';
import type { BuildOutcome } from './state.ts';

/** Served for so long, a configuration is not what ends the process. */
export const HEALTHY_MS = 10_000;
/** Trials that may end badly before a configuration is refused. */
export const TRIALS_MAX = 2;
/** First and longest wait before what is refused is tried for want of anything else. */
export const RESORT_MS_MIN = 2_000;
export const RESORT_MS_MAX = 60_000;
/** Longest that a configuration waits for its trial to be written down. */
const WRITE_WAIT_MS_MAX = 2_000;
/** Configurations remembered of each kind; of more, the oldest are forgotten. */
const REMEMBERED_MAX = 16;

const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
const text = { type: 'string', required: true, len_min: 0 } as const;
const position = { epoch: count, revision: count, hash: text } as const;

const recordFields = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  /** Of the software: another release may well serve what this one could not. */
  release: text,
  /** Hash of the last configuration that was served for long enough; empty for none. */
  proven: text,
  trials: {
    type: 'array',
    required: true,
    elements: { type: 'record', required: true, fields: { ...position, attempts: count } },
  },
  crashed: {
    type: 'array',
    required: true,
    elements: {
      type: 'record',
      required: true,
      /** `resorts`: trials for want of anything else. */
      fields: { ...position, resorts: { ...count, default: 0 } },
    },
  },
});

type TrialRecord = RecordOf<typeof recordFields>;

/** Keeps one text, whole or not at all, and there to stay once `write` resolves. */
export interface TextPlace {
  /** Null when there is none. */
  read(): Promise<string | null>;
  write(text: string): Promise<void>;
}

export interface BreakerOptions {
  readonly place: TextPlace;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly release: string;
  /** How long a configuration is on trial once it is served. Default: `HEALTHY_MS`. */
  readonly healthyMs?: number;
  /** Called when what is served has proven itself. */
  readonly onProven?: (served: Position) => void;
}

export class Breaker {
  readonly #options: BreakerOptions;
  #record: TrialRecord;
  /** Hash of what this process serves or was last asked to; not another trial when asked again. */
  #current = '';
  #cancelTimer: () => void = () => {};
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: BreakerOptions, record: TrialRecord) {
    this.#options = options;
    this.#record = record;
  }

  /** Reads what earlier processes left. A record that cannot be read is as good as none. */
  static async open(options: BreakerOptions): Promise<Breaker> {
    const { place, logger, release } = options;
    let stored: string | null = null;
    try {
      stored = await place.read();
    } catch (error) {
      logger.log('warn', 'the record of trials cannot be read', { error: messageOf(error) });
    }
    const breaker = new Breaker(options, parse(stored, release));
    await breaker.#condemn();
    return breaker;
  }

  /** Refused because the process crashed with them, oldest first. */
  get crashed(): readonly Position[] {
    return this.#record.crashed.map(({ epoch, revision, hash }) => ({ epoch, revision, hash }));
  }

  /** Milliseconds that what is refused waits for another one, before it is tried as the last resort. */
  resortMs(hash: string): number {
    return Math.min(RESORT_MS_MAX, RESORT_MS_MIN * 2 ** this.#resortsOf(hash));
  }

  /** Hash of the last configuration that was served for long enough; empty for none. */
  get proven(): string {
    return this.#record.proven;
  }

  /**
   * Builds and serves a configuration on trial.
   *
   * @param build  called unless the configuration is refused
   * @param isLastResort  it is not refused: there is nothing else
   */
  async guard(
    asked: Position,
    build: () => Promise<BuildOutcome>,
    isLastResort = false,
  ): Promise<BuildOutcome> {
    const { hash } = asked;
    if (this.#isRefused(hash)) {
      if (isLastResort) return this.#resort(asked, build);
      const detail = `the node crashed ${TRIALS_MAX} times as it began to serve it`;
      return { ok: false, code: 'crashed', entity: null, detail };
    }
    if (hash === this.#record.proven || hash === this.#current) return build();
    await this.#begin(asked);
    const outcome = await build();
    if (outcome.ok) this.#serve(asked);
    else await this.#write(withoutTrial(this.#record, hash));
    return outcome;
  }

  /** The process ends as it should: what is on trial is not to blame. */
  async end(): Promise<void> {
    this.#cancelTimer();
    if (this.#record.trials.length > 0) await this.#write({ ...this.#record, trials: [] });
    // What it counts was written before it was served, and it ended well.
    if (this.#isRefused(this.#current))
      await this.#write(withResort(this.#record, this.#current, -1));
    await this.#writing;
  }

  #isRefused(hash: string): boolean {
    return this.#record.crashed.some((known) => known.hash === hash);
  }

  #resortsOf(hash: string): number {
    return this.#record.crashed.find((known) => known.hash === hash)?.resorts ?? 0;
  }

  /** On trial as well, but what counts it is the list of what is refused. */
  async #resort(asked: Position, build: () => Promise<BuildOutcome>): Promise<BuildOutcome> {
    if (asked.hash === this.#current) return build();
    const { epoch, revision, hash } = asked;
    const message = 'serving what the node crashed with: there is nothing else';
    this.#options.logger.log('warn', message, { epoch, revision, hash });
    await this.#inTime(this.#write(withResort(this.#record, hash, 1)));
    const outcome = await build();
    if (outcome.ok) this.#serve(asked);
    return outcome;
  }

  async #begin(asked: Position): Promise<void> {
    const record = this.#record;
    const attempts = record.trials.find(({ hash }) => hash === asked.hash)?.attempts ?? 0;
    const trials = [
      ...withoutTrial(record, asked.hash).trials,
      { ...asked, attempts: attempts + 1 },
    ];
    await this.#inTime(this.#write({ ...record, trials: trials.slice(-REMEMBERED_MAX) }));
  }

  /** A disk that hangs must not keep configurations from being served. */
  async #inTime(written: Promise<void>): Promise<void> {
    let cancel: () => void = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#options.clock.setTimer(WRITE_WAIT_MS_MAX, resolve);
    });
    await Promise.race([written, late]);
    cancel();
  }

  #serve(served: Position): void {
    const { clock, healthyMs } = this.#options;
    this.#current = served.hash;
    this.#cancelTimer();
    this.#cancelTimer = clock.setTimer(healthyMs ?? HEALTHY_MS, () => void this.#prove(served));
  }

  async #prove(served: Position): Promise<void> {
    const crashed = this.#record.crashed.filter((known) => isNewer(known, served));
    await this.#write({ ...this.#record, proven: served.hash, trials: [], crashed });
    this.#options.onProven?.(served);
  }

  /** What was on trial too often when the process before this one ended. */
  async #condemn(): Promise<void> {
    const { trials } = this.#record;
    const bad = trials.filter(({ attempts }) => attempts >= TRIALS_MAX);
    if (bad.length === 0) return;
    for (const { epoch, revision, hash } of bad) {
      const message = 'configuration refused: the node crashed as it began to serve it';
      this.#options.logger.log('error', message, { epoch, revision, hash });
    }
    const named = bad.map(({ epoch, revision, hash }) => ({ epoch, revision, hash, resorts: 0 }));
    const crashed = [...this.#record.crashed, ...named].slice(-REMEMBERED_MAX);
    await this.#write({
      ...this.#record,
      trials: trials.filter((one) => !bad.includes(one)),
      crashed,
    });
  }

  /** One after the other; what is in memory counts whether or not it can be written. */
  #write(record: TrialRecord): Promise<void> {
    this.#record = record;
    const { place, logger } = this.#options;
    this.#writing = this.#writing
      .then(() => place.write(canonicalJson(record)))
      .catch((error: unknown) => {
        logger.log('warn', 'the record of trials cannot be written', { error: messageOf(error) });
      });
    return this.#writing;
  }
}

function parse(stored: string | null, release: string): TrialRecord {
  const none: TrialRecord = { format: 1, release, proven: '', trials: [], crashed: [] };
  const parsed = stored === null ? null : parseRecord(recordFields, parseJson(stored));
  if (parsed?.ok !== true) return none;
  return parsed.value.release === release ? parsed.value : { ...none, proven: parsed.value.proven };
}

function withoutTrial(record: TrialRecord, hash: string): TrialRecord {
  return { ...record, trials: record.trials.filter((trial) => trial.hash !== hash) };
}

/** `by`: how many more trials for want of anything else. */
function withResort(record: TrialRecord, hash: string, by: number): TrialRecord {
  const crashed = record.crashed.map((known) =>
    known.hash === hash ? { ...known, resorts: Math.max(0, known.resorts + by) } : known,
  );
  return { ...record, crashed };
}

function isNewer(a: Position, b: Position): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.revision > b.revision);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
