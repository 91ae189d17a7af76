/** What the next tables have to take in: the records that two configurations do not share, by kind. */
import type { Sliced } from '../base/slices.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { ConfigTree } from '../config/tree.ts';

/** A record that changed is removed as it was and added as it is. */
export class Changes {
  readonly #removed: ReadonlyMap<string, readonly ConfigRecord[]>;
  readonly #added: ReadonlyMap<string, readonly ConfigRecord[]>;

  /** Entities without their secrets: as good as missing, and set aside by name. */
  readonly closed: {
    readonly removed: readonly ConfigRecord[];
    readonly added: readonly ConfigRecord[];
  };

  private constructor(removed: readonly ConfigRecord[], added: readonly ConfigRecord[]) {
    this.#removed = byKind(removed);
    this.#added = byKind(added);
    this.closed = { removed: removed.filter(isClosed), added: added.filter(isClosed) };
  }

  /** From `before` to `tree`; null: from nothing, which is how the first tables are built. */
  static *between(tree: ConfigTree, before: ConfigTree | null): Sliced<Changes> {
    const { removed, added } = yield* tree.changesSliced(before);
    return new Changes(removed, added);
  }

  removed(kind: string): readonly ConfigRecord[] {
    return this.#removed.get(kind) ?? NONE;
  }

  added(kind: string): readonly ConfigRecord[] {
    return this.#added.get(kind) ?? NONE;
  }

  has(kind: string): boolean {
    return this.#removed.has(kind) || this.#added.has(kind);
  }

  /** Each kind with a change. */
  kinds(): ReadonlySet<string> {
    return new Set([...this.#removed.keys(), ...this.#added.keys()]);
  }
}

const NONE: readonly ConfigRecord[] = [];

/** Kinds whose parts close what depends on an entity without its secrets, and name it, themselves. */
const CLOSING: ReadonlySet<string> = new Set(['plugins', 'services']);

function isClosed({ kind, fault }: ConfigRecord): boolean {
  return fault !== undefined && !CLOSING.has(kind);
}

function byKind(records: Iterable<ConfigRecord>): Map<string, ConfigRecord[]> {
  const lists = new Map<string, ConfigRecord[]>();
  for (const record of records) {
    if (isClosed(record)) continue;
    const list = lists.get(record.kind);
    if (list === undefined) lists.set(record.kind, [record]);
    else list.push(record);
  }
  return lists;
}

/** The id a foreign field points to; null when it points nowhere. */
export function foreignId(record: ConfigRecord, field: string): string | null {
  const value = record.body[field];
  if (typeof value !== 'object' || value === null || !('id' in value)) return null;
  return typeof value.id === 'string' && value.id !== '' ? value.id : null;
}
