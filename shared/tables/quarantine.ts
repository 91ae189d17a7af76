/** The entities that were set aside, kept from tables to tables. */
import type { ConfigRecord } from '../config/record.ts';
import { type MapEdit, PersistentMap } from '../base/persistent-map.ts';
import type { JsonObject } from '../schema/field.ts';
import type { Quarantined } from './tables.ts';

/** Names an entity of the group: an id is unique within its kind and workspace only. */
export interface EntityKey extends Pick<ConfigRecord, 'kind' | 'ws' | 'id'> {
  /** Where its name is from, if it has one. */
  readonly body?: Readonly<Record<string, unknown>>;
}

interface Held {
  readonly key: string;
  readonly entity: Quarantined;
}

export class Quarantine {
  /** By kind, then id, then workspace: the same for the same configuration. */
  readonly list: readonly Quarantined[];
  readonly #held: PersistentMap<Held>;
  readonly #sorted: readonly Held[];

  private constructor(held: PersistentMap<Held>, sorted: readonly Held[]) {
    this.#held = held;
    this.#sorted = sorted;
    this.list = sorted.map(({ entity }) => entity);
  }

  static readonly NONE = new Quarantine(PersistentMap.empty(), []);

  edit(): QuarantineEdit {
    return new QuarantineEdit(this.#held.edit(), (held) => this.#next(held));
  }

  #next(held: PersistentMap<Held>): Quarantine {
    if (held === this.#held) return this;
    const sorted = this.#sorted.filter((each) => held.get(each.key) === each);
    // What is new comes to the end of what is sorted: cheap for a sort by merging.
    const known = new Set(sorted);
    for (const each of held.values()) if (!known.has(each)) sorted.push(each);
    return new Quarantine(held, sorted.toSorted(inOrder));
  }
}

export class QuarantineEdit {
  readonly #edit: MapEdit<Held>;
  readonly #make: (held: PersistentMap<Held>) => Quarantine;

  /** For `Quarantine.edit`. */
  constructor(edit: MapEdit<Held>, make: (held: PersistentMap<Held>) => Quarantine) {
    this.#edit = edit;
    this.#make = make;
  }

  /** Sets an entity aside, or says that it is well: `reason` null. */
  set({ kind, ws, id, body }: EntityKey, reason: string | null): void {
    if (reason === null && this.#edit.size === 0) return;
    const key = `${kind}\n${id}\n${ws}`;
    if (reason === null) this.#edit.delete(key);
    else if (this.#edit.get(key)?.entity.reason !== reason) {
      const named = body?.['name'];
      const name = typeof named === 'string' ? named : null;
      this.#edit.set(key, { key, entity: { kind, ws, id, name, reason } });
    }
  }

  done(): Quarantine {
    return this.#make(this.#edit.done());
  }
}

/** Characters of a reason that a status shows. */
const REASON_LENGTH_MAX = 1000;

/** Of more, a status only says how many. */
export const SHOWN_MAX = 100;

/** For the status of a data plane. */
export function quarantineView(list: readonly Quarantined[]): JsonObject {
  const shown = list.slice(0, SHOWN_MAX);
  return {
    quarantined: shown.map(({ kind, ws, id, name, reason }) => {
      return { kind, workspace: ws, id, name, reason: reason.slice(0, REASON_LENGTH_MAX) };
    }),
    quarantined_total: list.length,
  };
}

function inOrder(a: Held, b: Held): number {
  if (a.key === b.key) return 0;
  return a.key < b.key ? -1 : 1;
}

/** Why an entity could not be built, from what was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown reason';
}
