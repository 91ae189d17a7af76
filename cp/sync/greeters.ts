/**
 * Peers that have not proved anything yet: a bounded number of places. Who only sits on many of them, from
 * one address, has to give one up to whoever comes from another.
 */
import type { Session } from './runner.ts';

/** A peer that owes its hello for so long may have to go; over a slow line it takes less. */
export const IDLE_MS = 1_000;
/** Places that one address keeps in any case: nodes may stand behind one. */
export const KEPT_PLACES = 16;

type Greeter = Pick<Session, 'ip' | 'owesHelloSinceMs' | 'dispatch'>;

export class Greeters<S extends Greeter = Session> {
  /** Oldest first. */
  readonly #sessions = new Set<S>();

  get size(): number {
    return this.#sessions.size;
  }

  add(session: S): void {
    this.#sessions.add(session);
  }

  delete(session: S): void {
    this.#sessions.delete(session);
  }

  /**
   * Sends one away for a peer from `ip`, of the address that has most of them.
   *
   * @returns false when nobody sits there without a reason
   */
  makeRoom(ip: string, nowMs: number): boolean {
    const counts = new Map<string, number>();
    for (const session of this.#sessions) {
      counts.set(session.ip, (counts.get(session.ip) ?? 0) + 1);
    }
    const [most] = [...counts].toSorted(([, a], [, b]) => b - a);
    if (most === undefined || most[0] === ip || most[1] <= KEPT_PLACES) return false;
    for (const session of this.#sessions) {
      const since = session.owesHelloSinceMs;
      if (session.ip !== most[0] || since === null || nowMs - since < IDLE_MS) continue;
      session.dispatch({ type: 'end', reason: 'failed' });
      this.#sessions.delete(session);
      return true;
    }
    return false;
  }
}
