/** Long loops that let others have their turn: a big configuration must not stop the whole process. */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Steps between turns: some milliseconds of work on an entity's worth each. */
const TURN_SIZE = 500;

export class Turns {
  #steps = 0;

  /** To be awaited once per step. */
  async step(): Promise<void> {
    this.#steps += 1;
    if (this.#steps % TURN_SIZE === 0) await nextTurn();
  }
}
