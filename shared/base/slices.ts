/**
 * Long work in pieces. It is written as a generator that yields wherever it may be interrupted; who
 * runs it decides whether it is: at once, or in slices between which the process does other things.
 * The work itself knows neither clocks nor promises, so it comes to the same either way.
 */

/** Yields often (after each record, say); a yield costs some nanoseconds. */
export type Sliced<T> = Generator<undefined, T, undefined>;

/** When work in slices gives way. */
export interface Breaks {
  /** Null: the slice may go on. A promise: it is over, and the next begins when that resolves. */
  due(): Promise<void> | null;
}

/** For whom nobody waits. */
export const NO_BREAKS: Breaks = { due: () => null };

export function atOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** @throws what the work throws */
export async function inSlices<T>(work: Sliced<T>, breaks: Breaks): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    const pause = breaks.due();
    // One slice after the other is what this is for.
    if (pause !== null) await pause;
  }
}
