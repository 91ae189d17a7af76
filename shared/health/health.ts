/**
 * The health of one address: what is counted, and when that turns into healthy or unhealthy.
 *
 * Active probes and passive observation feed the same counters, each with its own limits. A success
 * forgets the failures counted so far and a failure the successes, but only where it is counted at
 * all: with a limit of 0 an outcome changes nothing, so failures add up across successes that nobody
 * counts (Kong's default for passive checks).
 *
 * Source: lua-resty-healthcheck `lib/resty/healthcheck.lua`, incr_counter and set_target_status
 */

/** What happened to one request or probe, as it is counted. */
export type CounterName = 'success' | 'http_failure' | 'tcp_failure' | 'timeout';

/** `mostly_*`: on the way to the other side, with some of its outcomes counted already. */
export type HealthLevel = 'healthy' | 'mostly_healthy' | 'mostly_unhealthy' | 'unhealthy';

/** A limit is 255 at most (`upstream-healthchecks.ts`), so nothing needs to be counted further. */
const COUNT_MAX = 255;

export class Health {
  #level: HealthLevel = 'healthy';
  #success = 0;
  #httpFailure = 0;
  #tcpFailure = 0;
  #timeout = 0;

  get level(): HealthLevel {
    return this.#level;
  }

  get isHealthy(): boolean {
    return this.#level === 'healthy' || this.#level === 'mostly_healthy';
  }

  /**
   * Counts one outcome.
   *
   * @param limit  how many of them it takes; 0: not counted
   * @returns whether `isHealthy` has changed
   */
  count(name: CounterName, limit: number): boolean {
    if (limit === 0) return false;
    const isSuccess = name === 'success';
    // Nothing to be learned from one more of what is known for certain.
    if (this.#level === (isSuccess ? 'healthy' : 'unhealthy')) return false;
    const reached = this.#add(name) >= limit;
    const wasHealthy = this.isHealthy;
    if (reached) this.#level = isSuccess ? 'healthy' : 'unhealthy';
    else if (this.#level === 'healthy') this.#level = 'mostly_healthy';
    else if (this.#level === 'unhealthy') this.#level = 'mostly_unhealthy';
    return this.isHealthy !== wasHealthy;
  }

  /** Says so by hand: all counting begins anew. Answers whether `isHealthy` has changed. */
  set(isHealthy: boolean): boolean {
    const wasHealthy = this.isHealthy;
    this.#level = isHealthy ? 'healthy' : 'unhealthy';
    this.#success = 0;
    this.#forgetFailures();
    return wasHealthy !== isHealthy;
  }

  /** Takes requests again, and one more failure of any kind that is counted is enough. */
  tryAgain(limits: Readonly<Record<CounterName, number>>): boolean {
    const hasChanged = this.set(true);
    this.#level = 'mostly_healthy';
    this.#httpFailure = Math.max(limits.http_failure - 1, 0);
    this.#tcpFailure = Math.max(limits.tcp_failure - 1, 0);
    this.#timeout = Math.max(limits.timeout - 1, 0);
    return hasChanged;
  }

  /** For tests and for the status: as counted so far. */
  counts(): Readonly<Record<CounterName, number>> {
    return {
      success: this.#success,
      http_failure: this.#httpFailure,
      tcp_failure: this.#tcpFailure,
      timeout: this.#timeout,
    };
  }

  /** Counts, forgets what the outcome contradicts, and answers the count. */
  #add(name: CounterName): number {
    if (name === 'success') {
      this.#forgetFailures();
      this.#success = Math.min(this.#success + 1, COUNT_MAX);
      return this.#success;
    }
    this.#success = 0;
    switch (name) {
      case 'http_failure':
        this.#httpFailure = Math.min(this.#httpFailure + 1, COUNT_MAX);
        return this.#httpFailure;
      case 'tcp_failure':
        this.#tcpFailure = Math.min(this.#tcpFailure + 1, COUNT_MAX);
        return this.#tcpFailure;
      case 'timeout':
        this.#timeout = Math.min(this.#timeout + 1, COUNT_MAX);
        return this.#timeout;
    }
  }

  #forgetFailures(): void {
    this.#httpFailure = 0;
    this.#tcpFailure = 0;
    this.#timeout = 0;
  }
}
