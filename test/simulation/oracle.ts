/**
 * What must hold, whatever happens (reliability.md, I1 to I10). Everything that the world does is told
 * to it; the first thing that must not be ends the run.
 */
import { positionOf, type ReplicaState } from '#shared/config/replica.ts';
import type { Position } from '#shared/wire/frames.ts';
import type { DbState, Row, Writes } from './database/sql-tables.ts';
import { rowsOf } from './database/sql-tables.ts';

export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariant: string;
  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}

interface Published {
  readonly hash: string;
  readonly group: string;
  readonly position: Position;
  readonly root: string;
}

/** Entities that one transaction always writes together, and what it writes into them. */
export const CANARIES = ['canary-a', 'canary-b', 'canary-c'] as const;

interface Write {
  readonly ws: string;
  readonly mark: string;
  /** It put its mark into the canaries. */
  readonly isMarking: boolean;
  readonly outcome: 'acked' | 'failed' | 'unknown';
  readonly version: number;
}

export class Oracle {
  /** By the manifest's hash: all that was ever published. */
  readonly #published = new Map<string, Published>();
  /** By group, epoch and revision. */
  readonly #numbers = new Map<string, string>();
  readonly #writes: Write[] = [];
  /** Committed and then lost with a database's tail: no write is held against anyone. */
  hasLostTail = false;
  violation: Violation | null = null;

  fail(invariant: string, detail: string): void {
    this.violation ??= new Violation(invariant, detail);
  }

  isPublished(hash: string): boolean {
    return this.#published.has(hash);
  }

  committed(state: DbState, writes: Writes): void {
    for (const row of writes.get('changes')?.values() ?? []) {
      if (row !== null) this.#checkDue(state, String(row['ws_id']), Number(row['version']));
    }
    for (const row of writes.get('manifests')?.values() ?? []) {
      if (row !== null) this.#publish(row);
    }
  }

  /** A change that counts as published when it is committed will reach nobody. */
  #checkDue(state: DbState, ws: string, version: number): void {
    for (const row of rowsOf(state, 'groups').values()) {
      const published: Readonly<Record<string, number>> = Object(row['published']);
      if ((published[ws] ?? 0) < version) continue;
      const group = String(row['name']);
      this.fail('I2', `version ${version} is committed after ${published[ws]} went to ${group}`);
    }
  }

  #publish(row: Row): void {
    const group = String(row['group_id']);
    const position = {
      epoch: Number(row['epoch']),
      revision: Number(row['revision']),
      hash: String(row['hash']),
    };
    const number = `${group} ${position.epoch}.${position.revision}`;
    const known = this.#numbers.get(number);
    if (known !== undefined && known !== position.hash) {
      this.fail('I4', `${number} was published twice, with other content`);
    }
    this.#numbers.set(number, position.hash);
    const manifest: { root: string } = JSON.parse(String(row['manifest']));
    this.#published.set(position.hash, {
      hash: position.hash,
      group,
      position,
      root: manifest.root,
    });
  }

  /** A data plane serves this from now on. @param held  what it served before, in this life */
  served(node: SimNode, state: ReplicaState): void {
    const position = positionOf(state);
    const published = this.#published.get(position.hash);
    const at = `${node.name} serves ${position.epoch}.${position.revision}`;
    if (published === undefined) return this.fail('I7', `${at}, which nobody published`);
    if (node.group !== null && published.group !== node.group) {
      return this.fail('I7', `${at} of another group`);
    }
    if (order(position, published.position) !== 0)
      return this.fail('I7', `${at} under a false number`);
    if (state.tree.hash !== published.root) return this.fail('I3', `${at} with other records`);
    if (node.serving !== null && order(position, node.serving) < 0) {
      return this.fail('I4', `${at} after ${node.serving.epoch}.${node.serving.revision}`);
    }
    if (node.floor !== null && order(position, node.floor) < 0) {
      return this.fail('I4', `${at}, but had ${node.floor.epoch}.${node.floor.revision} on disk`);
    }
    node.serving = position;
    this.#checkWhole(at, state);
  }

  /** A configuration is on its disk from now on. */
  stored(node: SimNode, position: NumberOf, said: Position | null): void {
    const least = newest(node.floor, said);
    if (least === null || order(position, least) >= 0) return;
    const at = `${node.name} keeps ${position.epoch}.${position.revision}`;
    this.fail('I9', `${at}, and said to have ${least.epoch}.${least.revision} on disk`);
  }

  /** An acknowledgement means: serving it. */
  acked(node: SimNode, position: Position): void {
    if (node.serving !== null && order(node.serving, position) >= 0) return;
    this.fail(
      'I9',
      `${node.name} acknowledges ${position.epoch}.${position.revision}, and does not serve it`,
    );
  }

  /** All canaries of a workspace carry the mark of one transaction. */
  #checkWhole(at: string, { tree }: ReplicaState): void {
    const marks = new Map<string, string>();
    for (const { kind, ws, body } of tree.records()) {
      if (kind !== 'services' || !String(body['name']).startsWith('canary-')) continue;
      const mark = JSON.stringify(body['tags']);
      const known = marks.get(ws) ?? mark;
      marks.set(ws, known);
      if (known !== mark)
        return this.fail('I3', `${at} with half a transaction: ${known}, ${mark}`);
    }
  }

  wrote(write: Write): void {
    this.#writes.push(write);
  }

  /** What the database says in the end, held against what writers were told. */
  checkWrites(state: DbState): void {
    const byMark = new Map(this.#writes.map((write) => [write.mark, write]));
    for (const { ws, mark } of canariesIn(state)) {
      if (byMark.get(mark)?.outcome === 'failed')
        this.fail('I2', `${mark} was refused, and is there`);
      const now = byMark.get(mark);
      if (this.hasLostTail || now?.outcome !== 'acked') continue;
      const later = this.#writes.find(
        (write) =>
          write.isMarking &&
          write.ws === ws &&
          write.outcome === 'acked' &&
          write.version > now.version,
      );
      if (later !== undefined) this.fail('I1', `${later.mark} was acknowledged, and is gone`);
    }
    if (this.hasLostTail) return;
    const logged = new Set(
      [...rowsOf(state, 'changes').values()].map(
        (row) => `${String(row['ws_id'])} ${String(row['version'])}`,
      ),
    );
    for (const { ws, version, outcome, mark } of this.#writes) {
      if (outcome !== 'acked' || logged.has(`${ws} ${version}`)) continue;
      this.fail('I1', `${mark} was acknowledged as version ${version}, and is gone`);
    }
  }

  /** A configuration against the rows that it is made of. */
  checkContent(
    node: SimNode,
    state: ReplicaState,
    db: DbState,
    workspaces: readonly string[],
  ): void {
    const served = new Set<string>();
    for (const { kind, ws, id, body } of state.tree.records()) {
      if (kind === 'services') served.add(`${ws} ${id} ${JSON.stringify(body['tags'])}`);
    }
    const wanted = new Set<string>();
    for (const row of rowsOf(db, 'services').values()) {
      if (!workspaces.includes(String(row['ws_id']))) continue;
      const doc: { tags?: unknown } = Object(row['doc']);
      wanted.add(`${String(row['ws_id'])} ${String(row['id'])} ${JSON.stringify(doc.tags)}`);
    }
    const isSame = served.size === wanted.size && [...wanted].every((one) => served.has(one));
    if (!isSame) this.fail('I5', `${node.name} does not serve what is in the database`);
  }
}

/** A data plane, through all its lives. */
export interface SimNode {
  readonly name: string;
  /** Id of the group it joined; null as long as it is not known. */
  group: string | null;
  /** In this life. */
  serving: Position | null;
  /** What it has said to be on its disk, in any life. */
  floor: Position | null;
}

type NumberOf = Pick<Position, 'epoch' | 'revision'>;

export function newest(a: Position | null, b: Position | null): Position | null {
  if (a === null || b === null) return a ?? b;
  return order(a, b) >= 0 ? a : b;
}

export function order(a: NumberOf, b: NumberOf): number {
  return a.epoch - b.epoch || a.revision - b.revision;
}

function canariesIn(state: DbState): { ws: string; mark: string }[] {
  const found: { ws: string; mark: string }[] = [];
  for (const row of rowsOf(state, 'services').values()) {
    if (row['name'] !== CANARIES[0]) continue;
    const doc: { tags?: readonly string[] | null } = Object(row['doc']);
    found.push({ ws: String(row['ws_id']), mark: doc.tags?.[0] ?? '' });
  }
  return found;
}
