/** How long to wait before the next try. Full jitter, so that a fleet that fell together spreads. */
import { CLOSE, SLOW_RETRY } from '../wire/close-codes.ts';

/** Longest wait after ordinary failures (decision 10). */
export const RETRY_MS_MAX = 5_000;
/** Bounds of the wait after a refusal that trying again soon cannot mend. */
export const SLOW_RETRY_MS_MIN = 5_000;
export const SLOW_RETRY_MS_MAX = 30_000;
/** Longest wait that a control plane can ask for. */
export const RETRY_AFTER_MS_MAX = 60_000;

const RETRY_MS_BASE = 250;
/** 250 ms doubled so often is beyond the cap. */
const DOUBLINGS_MAX = 5;

/**
 * @param failures  tries in a row that came to nothing
 * @param random  uniform in [0, 1)
 * @returns milliseconds, at most `RETRY_MS_MAX`
 */
export function retryDelayMs(failures: number, random: number): number {
  const doublings = Math.min(failures, DOUBLINGS_MAX);
  return random * Math.min(RETRY_MS_MAX, RETRY_MS_BASE * 2 ** doublings);
}

export function slowRetryDelayMs(random: number): number {
  return SLOW_RETRY_MS_MIN + random * (SLOW_RETRY_MS_MAX - SLOW_RETRY_MS_MIN);
}

/** The wait that was asked for and, so that not all come back at once, up to half as much again. */
export function retryAfterDelayMs(retryAfterMs: number, random: number): number {
  return Math.min(RETRY_AFTER_MS_MAX, retryAfterMs) * (1 + random / 2);
}

/** Whether to wait the long way after this close code. */
export function isSlow(code: number): boolean {
  // Superseded: somebody else has our identity. Taking it back at once would be a tug-of-war.
  return SLOW_RETRY.includes(code) || code === CLOSE.superseded;
}

/** Milliseconds named by a close reason (`retry_after_ms=…`); null when it names none. */
export function retryAfterOf(reason: string): number | null {
  const match = /retry_after_ms=(\d{1,9})(?!\d)/.exec(reason);
  return match === null ? null : Number(match[1]);
}
