/** A closed-loop load: a few clients that each send the next request when the last was answered. */
import { send } from './http-client.ts';

const CLIENTS = 4;
const FAILURES_KEPT = 10;

export class Load {
  readonly #base: string;
  readonly #path: string;
  readonly #clients: Promise<void>[] = [];
  #isOn = false;
  #done = 0;
  readonly #failures: string[] = [];

  constructor(url: string) {
    const { origin, pathname } = new URL(url);
    this.#base = origin;
    this.#path = pathname;
  }

  /** Requests answered as they should be. */
  get done(): number {
    return this.#done;
  }

  start(): void {
    this.#isOn = true;
    for (let i = 0; i < CLIENTS; i++) this.#clients.push(this.#run());
  }

  async stop(): Promise<{ done: number; failures: readonly string[] }> {
    this.#isOn = false;
    await Promise.all(this.#clients);
    return { done: this.#done, failures: this.#failures };
  }

  async #run(): Promise<void> {
    while (this.#isOn) {
      let failure: string | null = null;
      try {
        const { status, text } = await send(this.#base, this.#path);
        if (status !== 200) failure = `${status} ${text}`;
      } catch (error) {
        failure = String(error);
      }
      if (failure === null) this.#done++;
      else if (this.#failures.length < FAILURES_KEPT) this.#failures.push(failure);
    }
  }
}
