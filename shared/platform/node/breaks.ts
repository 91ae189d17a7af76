/** Slices of a few milliseconds for work that would stop the process' other work. */
import type { Breaks } from '../../base/slices.ts';

/** Longest slice, but for the step that ends it. */
const SLICE_MS = 5;

/** One per piece of work: it counts from where it is made. */
export function nodeBreaks(sliceMs: number = SLICE_MS): Breaks {
  let endsMs = performance.now() + sliceMs;
  return {
    due() {
      if (performance.now() < endsMs) return null;
      // Not a microtask: sockets and timers get their turn.
      return new Promise((resolve) => {
        setImmediate(() => {
          endsMs = performance.now() + sliceMs;
          resolve();
        });
      });
    },
  };
}
