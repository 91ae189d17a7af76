/** Runs a transaction again when Postgres asks for it. */
import { setTimeout as delay } from 'node:timers/promises';
import { isRetryable } from './errors.ts';

export const ATTEMPTS_MAX = 6;
const DELAY_BASE_MS = 10;

/** The last failure is thrown as it is. */
export async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !isRetryable(error)) throw error;
      // Full jitter: whoever collided must not collide again in step.
      await delay(Math.random() * DELAY_BASE_MS * 2 ** attempt);
    }
  }
}
