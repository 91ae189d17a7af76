/** Routes to a router; a matcher that does not compile closes what it might have matched. */
import type { Sliced } from '../base/slices.ts';
import type { RouteEntry, Router } from '../router/router.ts';

export type RouterResult =
  | {
      readonly ok: true;
      readonly router: Router;
      /** Of the added ones: they answer 503 wherever they might have matched. */
      readonly faults: ReadonlyMap<RouteEntry, string>;
    }
  | { readonly ok: false; readonly id: string; readonly reason: string };

/**
 * The router without some entries and with others.
 *
 * Not ok when a route that does not compile gives nothing literal to go by (decision 22).
 */
export function* updateRouter(
  before: Router,
  removed: readonly RouteEntry[],
  added: readonly RouteEntry[],
): Sliced<RouterResult> {
  const faults = new Map<RouteEntry, string>();
  if (removed.length === 0 && added.length === 0) return { ok: true, router: before, faults };
  const { router, failures } = yield* before.updateSliced(removed, added);
  const news = new Set(failures.length === 0 ? [] : added);
  for (const { entry, reason, isCovered } of failures) {
    if (!isCovered) return { ok: false, id: entry.route.id, reason };
    if (news.has(entry)) faults.set(entry, reason);
  }
  return { ok: true, router, faults };
}
