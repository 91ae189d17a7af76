/** The Clock port over the process' clocks and timers. */
import type { Clock } from '../platform.ts';

/** `setTimeout` fires at once for anything above. */
const DELAY_MAX_MS = 2 ** 31 - 1;

export const nodeClock: Clock = {
  now() {
    return Date.now();
  },
  monotonic() {
    return performance.now();
  },
  setTimer(delayMs, fn) {
    const timer = setTimeout(fn, Math.min(Math.max(delayMs, 0), DELAY_MAX_MS));
    return () => clearTimeout(timer);
  },
};
