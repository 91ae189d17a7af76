/**
 * What happened in a run, as events, and the oracle that judges it: the invariants I1 to I6. A write
 * sets registers (an entity each), and is told the version of its workspace; a view is what a node
 * holds, with the version that it claims to contain. So every view can be told exactly: it must be what
 * all writes up to its version make of each other, and nothing else.
 */

export type HistoryEvent =
  | {
      readonly type: 'write';
      /** Names the write; one that was repeated with its Idempotency-Key is one. */
      readonly key: string;
      /** What it sets; null takes the register away. All of it, or nothing. */
      readonly effects: Readonly<Record<string, string | null>>;
      /** `unknown`: nobody heard, however often it was asked. */
      readonly outcome: 'acked' | 'refused' | 'unknown';
      /** Of the workspace, as the answer told; null unless acked. */
      readonly version: number | null;
      /** When it was first sent. */
      readonly fromMs: number;
    }
  | {
      readonly type: 'view';
      readonly node: string;
      readonly epoch: number;
      readonly revision: number;
      readonly hash: string;
      /** Of the workspace, contained in it by the word of its manifest. */
      readonly version: number;
      /** Every register that it holds, with all values that stand for it: one, if nothing is wrong. */
      readonly registers: Readonly<Record<string, readonly string[]>>;
      readonly atMs: number;
    }
  /** A request through a data plane was not answered as it should be. */
  | {
      readonly type: 'failure';
      readonly node: string;
      readonly fromMs: number;
      readonly toMs: number;
      readonly detail: string;
    }
  | { readonly type: 'down' | 'up'; readonly node: string; readonly atMs: number }
  /** Nothing is broken any more; these nodes must come to contain the version in time. */
  | {
      readonly type: 'faults_over';
      readonly nodes: readonly string[];
      readonly version: number;
      readonly atMs: number;
    }
  /** No write will follow: the last view of each of these nodes must be the same, and of the version. */
  | { readonly type: 'quiet'; readonly nodes: readonly string[]; readonly version: number };

type Write = Extract<HistoryEvent, { type: 'write' }>;
type View = Extract<HistoryEvent, { type: 'view' }>;

export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6';

export interface Violation {
  readonly invariant: Invariant;
  readonly detail: string;
}

export interface Terms {
  /** Longest time from the last fault until every node contains what was acknowledged before. */
  readonly convergenceMs: number;
}

/** Found of each invariant; more of the same say nothing more. */
const FOUND_MAX = 20;

export function check(history: readonly HistoryEvent[], terms: Terms): Violation[] {
  const found = [
    ...checkVersions(history),
    ...checkViews(history),
    ...checkOrder(history),
    ...checkConvergence(history, terms),
    ...checkAnswers(history),
  ];
  const counts = new Map<Invariant, number>();
  return found.filter(({ invariant }) => {
    const count = (counts.get(invariant) ?? 0) + 1;
    counts.set(invariant, count);
    return count <= FOUND_MAX;
  });
}

/** How many events of each type there are: an oracle that saw nothing found nothing wrong. */
export function summary(history: readonly HistoryEvent[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const event of history) {
    const name = event.type === 'write' ? event.outcome : event.type;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function ofType<T extends HistoryEvent['type']>(
  history: readonly HistoryEvent[],
  type: T,
): Extract<HistoryEvent, { type: T }>[] {
  return history.filter(
    (event): event is Extract<HistoryEvent, { type: T }> => event.type === type,
  );
}

/** A version is one commit: two writes cannot have the same, nor one revision two contents. */
function* checkVersions(history: readonly HistoryEvent[]): Iterable<Violation> {
  const byVersion = new Map<number, string>();
  for (const { key, outcome, version } of ofType(history, 'write')) {
    if (outcome !== 'acked' || version === null) continue;
    const other = byVersion.get(version);
    if (other !== undefined) {
      yield { invariant: 'I3', detail: `${other} and ${key} are both version ${version}` };
    }
    byVersion.set(version, key);
  }
  const hashes = new Map<string, string>();
  for (const { node, epoch, revision, hash } of ofType(history, 'view')) {
    const place = `${epoch}.${revision}`;
    const other = hashes.get(place) ?? hash;
    if (other !== hash) yield { invariant: 'I5', detail: `${node} holds another ${place}` };
    hashes.set(place, other);
  }
}

/** Every view against what the writes up to its version make. */
function* checkViews(history: readonly HistoryEvent[]): Iterable<Violation> {
  const writes = ofType(history, 'write');
  const acked = writes
    .filter(({ outcome }) => outcome === 'acked')
    .toSorted((a, b) => (a.version ?? 0) - (b.version ?? 0));
  const unknown = writes.filter(({ outcome }) => outcome === 'unknown');
  const refused = new Set(
    writes.filter(({ outcome }) => outcome === 'refused').flatMap((write) => valuesOf(write)),
  );
  // Ascending, so that the state is replayed once for all views.
  const views = ofType(history, 'view').toSorted((a, b) => a.version - b.version);
  const state = new Map<string, { readonly value: string | null; readonly write: Write }>();
  let next = 0;
  for (const view of views) {
    for (let write = acked[next]; write !== undefined; write = acked[++next]) {
      if ((write.version ?? 0) > view.version) break;
      for (const [register, value] of Object.entries(write.effects)) {
        state.set(register, { value, write });
      }
    }
    yield* checkView(view, state, unknown, refused);
  }
}

function* checkView(
  view: View,
  state: ReadonlyMap<string, { readonly value: string | null; readonly write: Write }>,
  unknown: readonly Write[],
  refused: ReadonlySet<string>,
): Iterable<Violation> {
  const where = `${view.node} at version ${view.version}`;
  const perhaps = new Map<string, (string | null)[]>();
  for (const { effects } of unknown) {
    for (const [register, value] of Object.entries(effects)) {
      perhaps.set(register, [...(perhaps.get(register) ?? []), value]);
    }
  }
  const wrong = new Map<Write, string[]>();
  const right = new Set<Write>();
  for (const [register, { value, write }] of state) {
    const held = view.registers[register] ?? [];
    const isHeld = value === null ? held.length === 0 : held.includes(value);
    const isOther = (perhaps.get(register) ?? []).some((other) =>
      other === null ? held.length === 0 : held.includes(other),
    );
    if (isHeld) right.add(write);
    else if (!isOther) wrong.set(write, [...(wrong.get(write) ?? []), register]);
  }
  for (const [write, registers] of wrong) {
    const invariant = right.has(write) ? 'I3' : 'I1';
    yield { invariant, detail: `${where} lacks ${registers.join(', ')} of ${write.key}` };
  }
  for (const [register, values] of Object.entries(view.registers)) {
    if (values.length > 1) {
      yield { invariant: 'I2', detail: `${where} holds ${register} ${values.length} times` };
    }
    const known = state.get(register)?.value ?? null;
    const allowed = new Set([known, ...(perhaps.get(register) ?? [])]);
    for (const value of values) {
      if (allowed.has(value)) continue;
      // A lost write leaves the value before it: that was told above.
      if (!refused.has(`${register}=${value}`) && known !== null) continue;
      yield { invariant: 'I2', detail: `${where} holds ${register}=${value}, which nobody wrote` };
    }
  }
  for (const write of unknown) {
    const shown = Object.entries(write.effects).map(([register, value]) =>
      value === null
        ? (view.registers[register] ?? []).length === 0
        : (view.registers[register] ?? []).includes(value),
    );
    if (new Set(shown).size > 1) {
      yield { invariant: 'I3', detail: `${where} holds a part of ${write.key}` };
    }
  }
}

function valuesOf({ effects }: Write): string[] {
  return Object.entries(effects).map(([register, value]) => `${register}=${value}`);
}

/** No node ever goes back, across restarts. */
function* checkOrder(history: readonly HistoryEvent[]): Iterable<Violation> {
  const last = new Map<string, View>();
  for (const view of ofType(history, 'view').toSorted((a, b) => a.atMs - b.atMs)) {
    const before = last.get(view.node);
    last.set(view.node, view);
    if (before === undefined) continue;
    const isBack =
      view.epoch < before.epoch || (view.epoch === before.epoch && view.revision < before.revision);
    if (isBack) {
      const detail = `${view.node} went from ${before.epoch}.${before.revision} to ${view.epoch}.${view.revision}`;
      yield { invariant: 'I4', detail };
    }
  }
}

function* checkConvergence(
  history: readonly HistoryEvent[],
  { convergenceMs }: Terms,
): Iterable<Violation> {
  const views = ofType(history, 'view');
  for (const { nodes, version, atMs } of ofType(history, 'faults_over')) {
    for (const node of nodes) {
      const isThere = views.some(
        (view) =>
          view.node === node && view.version >= version && view.atMs <= atMs + convergenceMs,
      );
      if (isThere) continue;
      const detail = `${node} did not come to version ${version} within ${convergenceMs} ms`;
      yield { invariant: 'I5', detail };
    }
  }
  for (const { nodes, version } of ofType(history, 'quiet')) {
    const ends = nodes.map((node) => views.findLast((view) => view.node === node));
    const hashes = new Set(ends.map((view) => view?.hash));
    if (hashes.size > 1) yield { invariant: 'I5', detail: 'nodes end with different hashes' };
    for (const [index, view] of ends.entries()) {
      if (view !== undefined && view.version >= version) continue;
      yield {
        invariant: 'I5',
        detail: `${nodes[index]} ends at version ${view?.version}, not ${version}`,
      };
    }
  }
}

/** No request fails on a data plane that was not down at some time while the request was under way. */
function* checkAnswers(history: readonly HistoryEvent[]): Iterable<Violation> {
  for (const { node, fromMs, toMs, detail } of ofType(history, 'failure')) {
    const isExcused = downTimes(history, node).some(({ from, to }) => fromMs <= to && toMs >= from);
    if (!isExcused) yield { invariant: 'I6', detail: `${node} failed a request: ${detail}` };
  }
}

function downTimes(history: readonly HistoryEvent[], node: string): { from: number; to: number }[] {
  const times: { from: number; to: number }[] = [];
  for (const event of history) {
    if (event.type !== 'down' && event.type !== 'up') continue;
    if (event.node !== node) continue;
    if (event.type === 'down') times.push({ from: event.atMs, to: Number.POSITIVE_INFINITY });
    else {
      const open = times.at(-1);
      if (open !== undefined) open.to = event.atMs;
    }
  }
  return times;
}
