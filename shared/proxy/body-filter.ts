/** Running a response's body filters, for listeners of every runtime. */
import type { BodyFilter } from '../http/body.ts';

const NOTHING = new Uint8Array(0);

/**
 * Passes one chunk through all filters in order.
 *
 * @param chunk  the next bytes of the body; empty only with `last`
 * @param last  true exactly once per response, on the last call
 * @returns the bytes to send now; null for none
 * @throws what a filter throws: the caller must break the response off, not send what it has
 */
export function runFilters(
  filters: readonly BodyFilter[],
  chunk: Uint8Array,
  last: boolean,
): Uint8Array | null {
  let current: Uint8Array | null = chunk;
  for (const filter of filters) {
    // A filter that holds everything back has nothing for the next one, unless it is the end.
    if (current === null && !last) return null;
    current = filter(current ?? NOTHING, last);
  }
  return current !== null && current.length === 0 ? null : current;
}
