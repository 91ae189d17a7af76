/** HTTP/2 over `node:http2`: each stream a request like any other. */
import type { Socket } from 'node:net';
import type { ConnectionFacts } from '../connection-facts.ts';
import { CHECK_INTERVAL_MS, type Engine, type EngineOptions } from '../engine.ts';
import { H2_LIMITS, type H2Limits } from './limits.ts';
import { H2Session } from './session.ts';

export class H2Engine implements Engine {
  readonly #options: EngineOptions;
  readonly #limits: H2Limits;
  readonly #sessions = new Set<H2Session>();
  readonly #watch: NodeJS.Timeout;

  constructor(options: EngineOptions, limits: H2Limits = H2_LIMITS) {
    this.#options = options;
    this.#limits = limits;
    const shortest = Math.min(options.sendIdleMs, limits.firstRequestMs, limits.keepAliveMs);
    this.#watch = setInterval(() => this.#look(), Math.min(CHECK_INTERVAL_MS, shortest / 2));
    this.#watch.unref();
  }

  take(socket: Socket, facts: ConnectionFacts): void {
    const session = new H2Session(socket, {
      facts,
      options: this.#options,
      limits: this.#limits,
      nowMs: performance.now(),
      closed: (over) => this.#sessions.delete(over),
    });
    this.#sessions.add(session);
    if (this.#options.flight.isDraining) session.close();
  }

  drain(): void {
    for (const session of this.#sessions) session.close();
  }

  /** Once all connections are gone. */
  stop(): void {
    clearInterval(this.#watch);
  }

  #look(): void {
    const nowMs = performance.now();
    for (const session of this.#sessions) session.look(nowMs);
  }
}
