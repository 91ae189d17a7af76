/**
 * A persistent map from a value that should be unique to what has it. Where several have it (the
 * control plane does not let that happen) the one with the greatest id counts, whichever came first,
 * and when it goes the next one does.
 */
import { PersistentMap } from '../base/persistent-map.ts';
import { atOnce, type Sliced } from '../base/slices.ts';

interface Identified {
  readonly id: string;
}

export class UniqueMap<V extends Identified> {
  /** What counts, by value. */
  readonly winners: PersistentMap<V>;
  /** All that have the value, by id upward, where there are several. */
  readonly #twins: PersistentMap<readonly V[]>;

  private constructor(winners: PersistentMap<V>, twins: PersistentMap<readonly V[]>) {
    this.winners = winners;
    this.#twins = twins;
  }

  static empty<V extends Identified>(): UniqueMap<V> {
    return new UniqueMap<V>(PersistentMap.empty(), PersistentMap.empty());
  }

  get size(): number {
    return this.winners.size;
  }

  get(value: string): V | undefined {
    return this.winners.get(value);
  }

  /** Takes `removed` out (known by id), then puts `added` in. */
  with(
    removed: readonly (readonly [string, Identified])[],
    added: readonly (readonly [string, V])[],
  ): UniqueMap<V> {
    return atOnce(this.withSliced(removed, added));
  }

  *withSliced(
    removed: Iterable<readonly [string, Identified]>,
    added: Iterable<readonly [string, V]>,
  ): Sliced<UniqueMap<V>> {
    const winners = this.winners.edit();
    const twins = this.#twins.edit();
    const put = (value: string, all: readonly V[]): void => {
      const last = all.at(-1);
      if (last === undefined) winners.delete(value);
      else winners.set(value, last);
      if (all.length > 1) twins.set(value, all);
      else twins.delete(value);
    };
    const others = (value: string, id: string): readonly V[] => {
      const one = winners.get(value);
      const all = twins.get(value) ?? (one === undefined ? [] : [one]);
      return all.filter((each) => each.id !== id);
    };
    for (const [value, { id }] of removed) {
      yield;
      put(value, others(value, id));
    }
    for (const [value, one] of added) {
      yield;
      const rest = others(value, one.id);
      const from = rest.findIndex(({ id }) => id > one.id);
      put(value, from < 0 ? [...rest, one] : rest.toSpliced(from, 0, one));
    }
    const next = { winners: winners.done(), twins: twins.done() };
    if (next.winners === this.winners && next.twins === this.#twins) return this;
    return new UniqueMap(next.winners, next.twins);
  }
}
