/** The routes of one service: mostly a few, now and then all there are. Persistent. */
import { PersistentMap } from '../base/persistent-map.ts';
import type { RouteSource } from './routes.ts';

/** Up to so many a list is smaller, and as quickly copied. */
const LIST_MAX = 32;

export class RouteSet {
  readonly #few: readonly RouteSource[];
  /** By route id, once they are many; then `#few` is empty. */
  readonly #many: PersistentMap<RouteSource> | null;

  private constructor(few: readonly RouteSource[], many: PersistentMap<RouteSource> | null) {
    this.#few = few;
    this.#many = many;
  }

  static readonly EMPTY = new RouteSet([], null);

  get size(): number {
    return this.#many === null ? this.#few.length : this.#many.size;
  }

  [Symbol.iterator](): Iterator<RouteSource> {
    return this.#many === null ? this.#few.values() : this.#many.values();
  }

  /** Takes some out, then puts others in. All are of one workspace: their ids tell them apart. */
  with(removed: readonly RouteSource[], added: readonly RouteSource[]): RouteSet {
    if (this.#many === null && this.size + added.length <= LIST_MAX) {
      const rest = this.#few.filter((source) => !removed.includes(source));
      return new RouteSet([...rest, ...added], null);
    }
    const many = (this.#many ?? byId(this.#few)).edit();
    for (const { route } of removed) many.delete(route.id);
    for (const source of added) many.set(source.route.id, source);
    return new RouteSet([], many.done());
  }
}

function byId(sources: readonly RouteSource[]): PersistentMap<RouteSource> {
  return PersistentMap.from(sources.map((source) => [source.route.id, source]));
}
