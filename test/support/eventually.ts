/** Waiting for what happens elsewhere, with a deadline and without a fixed sleep. */
import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 10;

/**
 * Asks again and again until `probe` answers something that is not null, undefined or false.
 *
 * @throws when the deadline passes, naming what was waited for and the last failure
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  deadlineMs = 15_000,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  let last: unknown = null;
  while (performance.now() < end) {
    try {
      const value = await probe();
      if (value !== null && value !== undefined && value !== false) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    await pause(POLL_MS);
  }
  throw new Error(`waited ${deadlineMs} ms for: ${what}; last: ${String(last)}`);
}
