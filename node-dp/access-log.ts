/** The access log: JSON lines, written in batches, dropped and counted rather than queued for ever. */
import type { Logger } from '#shared/platform/platform.ts';
import type { AccessLogEntry } from '#shared/proxy/log-entry.ts';
import type { StreamLogEntry } from '#shared/proxy/stream-context.ts';

/** Text waiting for a slow reader. Beyond it, lines are dropped. */
export const PENDING_LENGTH_MAX = 4 * 1024 * 1024;
/** Handed over at once when this much is there. */
const BATCH_LENGTH = 64 * 1024;
const FLUSH_INTERVAL_MS = 100;

/** Where lines go: a `Writable`, of which we need little. */
export interface LineSink {
  write(text: string, done: () => void): boolean;
}

export class AccessLog {
  readonly #sink: LineSink;
  readonly #logger: Logger;
  #pending = '';
  /** Handed to the sink and not yet taken. */
  #unwritten = 0;
  #timer: NodeJS.Timeout | null = null;
  #dropped = 0;
  #droppedTold = 0;

  constructor(sink: LineSink, logger: Logger) {
    this.#sink = sink;
    this.#logger = logger;
  }

  /** Lines dropped since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  write(entry: AccessLogEntry | StreamLogEntry): void {
    if (this.#pending.length + this.#unwritten > PENDING_LENGTH_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#pending += `${JSON.stringify(entry)}\n`;
    if (this.#pending.length >= BATCH_LENGTH) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_INTERVAL_MS);
  }

  /** Hands over what is there. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#pending === '') return;
    const batch = this.#pending;
    this.#pending = '';
    this.#unwritten += batch.length;
    this.#sink.write(batch, () => this.#taken(batch.length));
  }

  #taken(length: number): void {
    this.#unwritten -= length;
    if (this.#dropped === this.#droppedTold) return;
    const lines = this.#dropped - this.#droppedTold;
    this.#droppedTold = this.#dropped;
    this.#logger.log('warn', 'access log lines dropped: their reader is too slow', { lines });
  }
}
