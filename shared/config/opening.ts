/**
 * The step between a verified configuration and its tables: sealed secrets are opened and put into
 * their entities, in memory only. What is stored and passed on stays the sealed tree.
 *
 * The result is a tree again, so that its consumers can tell what changed by comparing trees. It costs
 * what changed: everything else keeps its nodes and its record objects.
 */
import { hex } from '../base/bytes.ts';
import { type Breaks, inSlices, NO_BREAKS, type Sliced } from '../base/slices.ts';
import type { Crypto } from '../platform/platform.ts';
import type { JsonObject, JsonValue } from '../schema/field.ts';
import { putSecrets } from '../schema/secret-leaves.ts';
import type { ConfigRecord, RecordKey, Replica } from './record.ts';
import type { ReplicaState } from './replica.ts';
import {
  generationOf,
  kindOfSealed,
  openSecrets,
  sealedKind,
  sealingKey,
  type SealingKey,
} from './sealed-secrets.ts';
import type { GroupSecret } from './secrets.ts';
import type { ConfigTree } from './tree.ts';

/** Records that are being decrypted at a time. */
const BATCH_COUNT = 64;
/** Generations whose keys are kept: the one in force and those before it. */
const KEYS_MAX = 8;

interface Opened {
  readonly sealed: ConfigTree;
  readonly tree: ConfigTree;
  /** The secrets that it was opened with. */
  readonly mark: string;
}

/** An entity to be looked at again, with its companion; null: it has none. */
interface Pair {
  readonly entity: ConfigRecord;
  readonly companion: ConfigRecord | null;
}

/** One per process or isolate: it remembers what it has opened for as long as the records live. */
export class SecretOpener {
  readonly #crypto: Crypto;
  readonly #keys = new Map<string, SealingKey>();
  /** By companion. What opened once stays what it is. */
  readonly #secrets = new WeakMap<ConfigRecord, JsonObject>();
  readonly #merged = new WeakMap<ConfigRecord, Pair & { readonly merged: ConfigRecord }>();
  #last: Opened | null = null;

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  /**
   * The replica to build tables from. An entity whose secrets cannot be opened is in it with null in
   * their places and with `fault`. May be called again before an earlier call has ended.
   */
  async open(
    state: ReplicaState,
    secrets: readonly GroupSecret[],
    breaks: Breaks = NO_BREAKS,
  ): Promise<Replica> {
    return { ...state.replica, tree: await this.#open(state, secrets, breaks) };
  }

  async #open(
    state: ReplicaState,
    secrets: readonly GroupSecret[],
    breaks: Breaks,
  ): Promise<ConfigTree> {
    const mark = secrets.map((secret) => this.#markOf(secret)).join();
    const last = this.#last?.mark === mark ? this.#last : null;
    const sealed = state.tree;
    if (last?.sealed === sealed) return last.tree;
    const work = last === null ? all(sealed) : changed(sealed, last.sealed);
    const { pairs, removals } = await inSlices(work, breaks);
    const upserts: ConfigRecord[] = [];
    for (let from = 0; from < pairs.length; from += BATCH_COUNT) {
      const batch = pairs.slice(from, from + BATCH_COUNT);
      const merged = await Promise.all(batch.map((pair) => this.#merge(pair, state, secrets)));
      for (const record of merged) upserts.push(record);
    }
    const tree = await inSlices((last?.tree ?? sealed).applySliced(upserts, removals), breaks);
    this.#last = { sealed, tree, mark };
    return tree;
  }

  async #merge(
    pair: Pair,
    state: ReplicaState,
    secrets: readonly GroupSecret[],
  ): Promise<ConfigRecord> {
    const { entity, companion } = pair;
    if (companion === null) return entity;
    const before = this.#merged.get(companion);
    if (before?.entity === entity) return before.merged;
    const opened = this.#secrets.get(companion) ?? (await this.#decrypt(companion, state, secrets));
    if (typeof opened === 'string') return this.#variant(entity, companion, entity.body, opened);
    this.#secrets.set(companion, opened);
    const body = withSecrets(entity.body, opened);
    if (body === null) {
      return this.#variant(entity, companion, entity.body, 'its secrets have no place in it');
    }
    const merged = this.#variant(entity, companion, body, null);
    this.#merged.set(companion, { ...pair, merged });
    return merged;
  }

  /** The secrets, or why there are none. */
  async #decrypt(
    companion: ConfigRecord,
    { manifest }: ReplicaState,
    secrets: readonly GroupSecret[],
  ): Promise<JsonObject | string> {
    const generation = generationOf(companion);
    const secret = secrets.find((candidate) => candidate.generation === generation);
    if (secret === undefined) {
      return `the group secret of generation ${generation ?? '?'} is missing, so its secrets cannot be opened`;
    }
    const key = await this.#keyOf(secret, manifest.cluster, manifest.group_id);
    return (
      (await openSecrets(companion, key, this.#crypto)) ??
      'its secrets cannot be opened with the group secret'
    );
  }

  async #keyOf(secret: GroupSecret, cluster: string, groupId: string): Promise<SealingKey> {
    const name = `${cluster} ${groupId} ${this.#markOf(secret)}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const group = { cluster, groupId, generation: secret.generation };
    const key = await sealingKey(secret.secret, group, this.#crypto);
    if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
    this.#keys.set(name, key);
    return key;
  }

  #markOf({ generation, secret }: GroupSecret): string {
    return `${generation}:${hex(this.#crypto.sha256(secret))}`;
  }

  /** Text and hash say nothing of the secrets: the text is the sealed one, the hash of both records. */
  #variant(
    entity: ConfigRecord,
    companion: ConfigRecord,
    body: ConfigRecord['body'],
    fault: string | null,
  ): ConfigRecord {
    const identity = `${fault === null ? 'opened' : 'closed'}\n${entity.hash}\n${companion.hash}`;
    const hash = hex(this.#crypto.sha256(identity));
    return fault === null ? { ...entity, body, hash } : { ...entity, body, hash, fault };
  }
}

interface Work {
  readonly pairs: readonly Pair[];
  /** Out of the opened tree; companions are never in it. */
  readonly removals: readonly RecordKey[];
}

/** Entities with companions; all others are in the sealed tree as they stay. */
function* all(tree: ConfigTree): Sliced<Work> {
  const pairs: Pair[] = [];
  const removals: RecordKey[] = [];
  for (const companion of tree.records()) {
    yield;
    const kind = kindOfSealed(companion.kind);
    if (kind === null) continue;
    removals.push(companion);
    const entity = tree.get({ ...companion, kind });
    if (entity !== null) pairs.push({ entity, companion });
  }
  return { pairs, removals };
}

function* changed(tree: ConfigTree, older: ConfigTree): Sliced<Work> {
  const { added, removed } = yield* tree.changesSliced(older);
  const pairs = new Map<string, Pair>();
  const take = (entity: ConfigRecord | null): void => {
    if (entity === null) return;
    const companion = tree.get({ ...entity, kind: sealedKind(entity.kind) });
    pairs.set(`${entity.kind} ${entity.ws} ${entity.id}`, { entity, companion });
  };
  const entityOf = (key: RecordKey): ConfigRecord | null => {
    const kind = kindOfSealed(key.kind);
    return kind === null ? null : tree.get({ ...key, kind });
  };
  for (const record of removed) {
    yield;
    take(entityOf(record));
  }
  for (const record of added) {
    yield;
    take(kindOfSealed(record.kind) === null ? record : entityOf(record));
  }
  return { pairs: [...pairs.values()], removals: removed };
}

/** Null when the entity has changed its shape and there is no such place. */
function withSecrets(body: ConfigRecord['body'], secrets: JsonObject): ConfigRecord['body'] | null {
  let whole: JsonValue;
  try {
    whole = putSecrets(body, secrets);
  } catch {
    return null;
  }
  // `putSecrets` only replaces values within it.
  return { ...(whole as JsonObject), id: body.id };
}
