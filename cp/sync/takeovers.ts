/**
 * Sessions of one node that take over from each other: the newer valid one wins, on whichever control
 * plane it is. Now and then that is a network that comes and goes; again and again it is two nodes.
 */
import type { Clock, Logger } from '#shared/platform/platform.ts';
import { suspect, Takeovers } from '../nodes/suspicions.ts';
import type { Db } from '../store/db.ts';
import { TAKEN_OVER_CHANNEL } from './authenticator.ts';
import type { Session } from './runner.ts';

export interface TakeoverWatchOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Id of this control plane's process. */
  readonly self: string;
  readonly session: (nodeId: string) => Session | undefined;
}

export class TakeoverWatch {
  readonly #options: TakeoverWatchOptions;
  readonly #takeovers = new Takeovers();

  constructor(options: TakeoverWatchOptions) {
    this.#options = options;
  }

  /** @returns what undoes it */
  start(): Promise<() => Promise<void>> {
    return this.#options.db.listen(TAKEN_OVER_CHANNEL, (text) => this.#heard(text));
  }

  /** Ends the older session in favour of the newer one. */
  over(older: Session): void {
    const { member } = older;
    older.dispatch({ type: 'end', reason: 'superseded' });
    if (member === null) return;
    const { db, clock, logger } = this.#options;
    if (!this.#takeovers.count(member.node, clock.monotonic())) return;
    const { node, about } = member;
    const suspected = { node, ip: older.ip, hostname: about.hostname };
    void suspect(db, logger, 'flapping', suspected, false).catch(() => {});
  }

  /** `node number control-plane`: the number tells which of the two sessions is the older one. */
  #heard(text: string): void {
    const [node = '', number = '', by = ''] = text.split(' ');
    if (by === this.#options.self) return;
    const session = this.#options.session(node);
    const own = session?.member?.joinPending;
    if (session !== undefined && own !== undefined && own < Number(number)) this.over(session);
  }
}
