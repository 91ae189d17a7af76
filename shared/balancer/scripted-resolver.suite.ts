/** A name service under the test's thumb: what a real one answers is tested beside the real one. */
import { ResolveError, type Resolution, type Resolver } from '../platform/platform.ts';

export interface Answer {
  readonly addresses: readonly string[];
  /** On the monotonic clock, ms. */
  readonly expiresAt: number;
  /** As SRV records would have it, for each address. */
  readonly srv?: readonly { readonly port: number; readonly weight: number }[];
}

export class ScriptedResolver implements Resolver {
  /** Null: the name does not resolve. */
  readonly answers = new Map<string, Answer | null>();
  /** Names asked for, in order. */
  readonly asked: string[] = [];
  /** Answers by a promise, as one that has to ask the network. */
  isSlow = true;

  resolve(name: string): Resolution | Promise<Resolution> {
    this.asked.push(name);
    if (!this.isSlow) return this.#answer(name);
    return Promise.resolve().then(() => this.#answer(name));
  }

  #answer(name: string): Resolution {
    const answer = this.answers.get(name) ?? null;
    if (answer === null) throw new ResolveError(`no such name: ${name}`);
    const addresses = answer.addresses.map((address, i) => {
      const srv = answer.srv?.[i] ?? null;
      if (srv === null) return { address, port: null, name: null, weight: 1 };
      return { address, port: srv.port, name: `srv${i}.${name}`, weight: srv.weight };
    });
    return { addresses, expiresAt: answer.expiresAt };
  }
}
