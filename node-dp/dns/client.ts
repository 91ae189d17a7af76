/** Questions to several servers: tries, and how many are under way at a time. */
import type { ServerAddress } from '#shared/settings/dns.ts';
import { ask, type Exchange, NoAnswerError } from './exchange.ts';
import type { Outcome, Question } from './message.ts';

export interface ClientOptions {
  /** At least one. */
  readonly servers: readonly ServerAddress[];
  /** Of one try. */
  readonly timeoutMs: number;
  /** All servers together; each is asked once at least. */
  readonly attempts: number;
  readonly rotates: boolean;
}

/** Questions under way at a time, each with a socket. */
export const ASKING_MAX = 256;
/** Questions that wait for a place; further ones fail at once. */
export const WAITING_MAX = 16_384;

export class DnsClient {
  readonly #options: ClientOptions;
  readonly #exchanges = new Set<Exchange>();
  readonly #waiting: (() => void)[] = [];
  #asking = 0;
  #first = 0;
  #isClosed = false;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** @throws NoAnswerError (as a rejection) when no server answers */
  async ask(question: Question): Promise<Outcome> {
    await this.#place();
    try {
      return await this.#askAll(question);
    } finally {
      const next = this.#waiting.shift();
      // The place goes straight to whoever waits, so that nobody else takes it in between.
      if (next === undefined) this.#asking -= 1;
      else next();
    }
  }

  /** What is under way fails. */
  close(): void {
    this.#isClosed = true;
    for (const exchange of this.#exchanges) exchange.cancel();
  }

  async #place(): Promise<void> {
    if (this.#asking < ASKING_MAX) {
      this.#asking += 1;
      return;
    }
    if (this.#waiting.length >= WAITING_MAX) throw new NoAnswerError('too many questions');
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** One server after the other, for as long as none knows. */
  async #askAll(question: Question): Promise<Outcome> {
    const { servers, attempts, rotates } = this.#options;
    const start = this.#first;
    if (rotates) this.#first = (start + 1) % servers.length;
    let refusal: Outcome | null = null;
    let lastError: unknown = null;
    for (let count = 0; count < Math.max(attempts, servers.length); count += 1) {
      // A server that said no says no again.
      if (refusal !== null && count >= servers.length) break;
      const server = servers[(start + count) % servers.length];
      if (server === undefined) break;
      try {
        const outcome = await this.#askOne(server, question);
        if (outcome.tag !== 'refused') return outcome;
        refusal = outcome;
      } catch (error) {
        if (this.#isClosed) throw error;
        lastError = error;
      }
    }
    if (refusal !== null) return refusal;
    const reason = lastError instanceof Error ? lastError.message : 'no server';
    throw new NoAnswerError(reason, { cause: lastError });
  }

  async #askOne(server: ServerAddress, question: Question): Promise<Outcome> {
    if (this.#isClosed) throw new NoAnswerError('closed');
    const exchange = ask(server, question, this.#options.timeoutMs);
    this.#exchanges.add(exchange);
    try {
      return await exchange.outcome;
    } finally {
      this.#exchanges.delete(exchange);
    }
  }
}
