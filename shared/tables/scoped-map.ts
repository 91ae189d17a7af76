/**
 * A persistent map by workspace and id. In two levels: a hundred thousand keys that name both would
 * be most of its size, and ids are there already, in their records.
 */
import { type MapEdit, PersistentMap } from '../base/persistent-map.ts';

export class ScopedMap<V> {
  readonly #workspaces: PersistentMap<PersistentMap<V>>;

  private constructor(workspaces: PersistentMap<PersistentMap<V>>) {
    this.#workspaces = workspaces;
  }

  static empty<V>(): ScopedMap<V> {
    return new ScopedMap<V>(PersistentMap.empty());
  }

  get(ws: string, id: string): V | undefined {
    return this.#workspaces.get(ws)?.get(id);
  }

  *values(): Generator<V, undefined> {
    for (const entries of this.#workspaces.values()) yield* entries.values();
  }

  edit(): ScopedEdit<V> {
    return new ScopedEdit(this.#workspaces, (next) =>
      next === this.#workspaces ? this : new ScopedMap(next),
    );
  }
}

/** Changes on their way to the next map; made by `ScopedMap.edit`. */
export class ScopedEdit<V> {
  readonly #before: PersistentMap<PersistentMap<V>>;
  readonly #edits = new Map<string, MapEdit<V>>();
  readonly #make: (next: PersistentMap<PersistentMap<V>>) => ScopedMap<V>;

  constructor(
    before: PersistentMap<PersistentMap<V>>,
    make: (next: PersistentMap<PersistentMap<V>>) => ScopedMap<V>,
  ) {
    this.#before = before;
    this.#make = make;
  }

  get(ws: string, id: string): V | undefined {
    const edit = this.#edits.get(ws);
    return edit === undefined ? this.#before.get(ws)?.get(id) : edit.get(id);
  }

  set(ws: string, id: string, value: V): void {
    this.#editOf(ws).set(id, value);
  }

  delete(ws: string, id: string): void {
    this.#editOf(ws).delete(id);
  }

  /** The map of before when nothing changed. */
  done(): ScopedMap<V> {
    const workspaces = this.#before.edit();
    for (const [ws, edit] of this.#edits) {
      const entries = edit.done();
      if (entries.size === 0) workspaces.delete(ws);
      else workspaces.set(ws, entries);
    }
    return this.#make(workspaces.done());
  }

  #editOf(ws: string): MapEdit<V> {
    let edit = this.#edits.get(ws);
    if (edit === undefined) {
      edit = (this.#before.get(ws) ?? PersistentMap.empty<V>()).edit();
      this.#edits.set(ws, edit);
    }
    return edit;
  }
}
