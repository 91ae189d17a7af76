/**
 * Keeps a copy of what is published in the fallback storage: of every group its tree nodes first, then
 * the boot record, the pointer last. Any control plane may do so at any time; what two of them write is the
 * same, and a pointer that lost a race is put right at the next look.
 */
import { bootKey } from '#shared/config/boot-key.ts';
import { writeBootRecord } from '#shared/config/boot-record.ts';
import { bootName, headName, nodeName } from '#shared/config/fallback.ts';
import { fromBase64url } from '#shared/base/bytes.ts';
import { must } from '#shared/base/assert.ts';
import type { ObjectStore } from '#shared/platform/node/object-store.ts';
import type { Clock, Crypto, Logger, Random } from '#shared/platform/platform.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Db } from '../store/db.ts';

/** How often it is looked whether the storage has the newest, whatever was published here. */
export const LOOK_INTERVAL_MS = 60_000;
/** What the storage holds is asked of it again after so many looks. */
const LOOKS_PER_LISTING = 10;
/** Nodes read from the database at a time, and written at the same time. */
const BATCH_COUNT = 50;
const WRITES_IN_FLIGHT_MAX = 6;
/** Groups that may fail in one look before it is given up. */
const FAILURES_MAX = 3;

export interface ExporterOptions {
  readonly db: Db;
  readonly keyring: Keyring;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly logger: Logger;
}

interface Head extends SignedManifest {
  readonly group_id: string;
  readonly level: number;
  readonly name: string;
  readonly secret_generation: number;
}

/** What is known to be there, of one group. */
interface Held {
  readonly nodes: Set<string>;
  /** Of the pointers, by level. */
  readonly signatures: Map<number, string>;
  /** Of the boot record; null: not known. */
  generation: number | null;
}

export class FallbackExporter {
  readonly #options: ExporterOptions;
  /** By the group's name. */
  readonly #held = new Map<string, Held>();
  #looks = 0;
  #isWanted = false;
  #isClosed = false;
  #running: Promise<void> | null = null;
  #cancelTimer: () => void = () => {};
  #failure = '';

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  /** Something may have been published. Any number of calls become one. */
  wake(): void {
    this.#isWanted = true;
    if (this.#isClosed || this.#running !== null) return;
    this.#cancelTimer();
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#isClosed) return;
      if (this.#isWanted && this.#failure === '') return this.wake();
      this.#cancelTimer = this.#options.clock.setTimer(LOOK_INTERVAL_MS, () => this.wake());
    });
  }

  /** Resolves when what is under way is done. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer();
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#isWanted = false;
    if (++this.#looks % LOOKS_PER_LISTING === 0) this.#held.clear();
    const reasons: string[] = [];
    try {
      for (const head of await this.#heads()) {
        if (this.#isClosed) return;
        const reason = await this.#tryExport(head);
        if (reason !== null) reasons.push(reason);
        // Then it is not for the group's sake.
        if (reasons.length >= FAILURES_MAX) break;
      }
    } catch (error) {
      reasons.push(messageOf(error));
    }
    const [reason = ''] = reasons;
    // What is there may be anything now.
    if (reason !== '') this.#held.clear();
    if (reason !== '' && reason !== this.#failure) {
      const fields = { reason, retryMs: LOOK_INTERVAL_MS };
      this.#options.logger.log('error', 'the fallback storage was not written', fields);
    }
    this.#failure = reason;
  }

  /** One group that cannot be written keeps no other from it. @returns why not; null when it was */
  async #tryExport(head: Head): Promise<string | null> {
    try {
      await this.#export(head);
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  async #heads(): Promise<readonly Head[]> {
    const { rows } = await this.#options.db.query<Head>(
      `SELECT DISTINCT ON (m.group_id, m.level) m.group_id, m.level, g.name, g.secret_generation,
         m.manifest, m.signature, m.key_list, m.key_list_signature
       FROM manifests m JOIN groups g ON g.id = m.group_id
       ORDER BY m.group_id, m.level, m.epoch DESC, m.revision DESC`,
    );
    return rows;
  }

  async #export(head: Head): Promise<void> {
    const { store, logger } = this.#options;
    const { name, level, group_id: groupId, secret_generation: generation } = head;
    const held = await this.#holding(name);
    if (held.signatures.get(level) === head.signature && held.generation === generation) return;
    const count = await this.#writeNodes(name, groupId, held);
    if (held.generation !== generation) {
      await store.put(bootName(name), await this.#bootRecord(groupId, generation));
      held.generation = generation;
    }
    const newest = (await this.#heads()).find(
      (other) => other.group_id === groupId && other.level === level,
    );
    // Another may have written a newer one meanwhile, which this must not take the place of.
    if (newest?.signature !== head.signature) {
      this.#isWanted = true;
      return;
    }
    const { manifest, signature, key_list, key_list_signature } = head;
    const pointer = { manifest, signature, key_list, key_list_signature };
    await store.put(headName(name, level), JSON.stringify(pointer));
    held.signatures.set(level, signature);
    await this.#sweep(name, groupId, held);
    logger.log('debug', 'fallback configuration written', { group: name, nodes: count });
  }

  async #holding(name: string): Promise<Held> {
    const known = this.#held.get(name);
    if (known !== undefined) return known;
    const prefix = nodeName(name, '');
    const names = await this.#options.store.list(prefix);
    const nodes = new Set(names.map((node) => node.slice(prefix.length)));
    const held: Held = { nodes, signatures: new Map(), generation: null };
    this.#held.set(name, held);
    return held;
  }

  /** @returns how many were lacking */
  async #writeNodes(name: string, groupId: string, { nodes }: Held): Promise<number> {
    const { db, store } = this.#options;
    const { rows } = await db.query<{ id: string }>(
      'SELECT id FROM group_nodes WHERE group_id = $1 AND retired_revision IS NULL',
      [groupId],
    );
    const missing = rows.map(({ id }) => id).filter((id) => !nodes.has(id));
    for (let start = 0; start < missing.length; start += BATCH_COUNT) {
      const batch = await db.query<{ id: string; text: string }>(
        'SELECT id, text FROM group_nodes WHERE group_id = $1 AND id = ANY($2::text[])',
        [groupId, missing.slice(start, start + BATCH_COUNT)],
      );
      await inFlight(batch.rows, async ({ id, text }) => {
        await store.put(nodeName(name, id), text);
        nodes.add(id);
      });
    }
    return missing.length;
  }

  /** What the database has swept goes here too: as long as it is there, a pointer may name it. */
  async #sweep(name: string, groupId: string, { nodes }: Held): Promise<void> {
    const { db, store } = this.#options;
    const { rows } = await db.query<{ id: string }>(
      'SELECT id FROM group_nodes WHERE group_id = $1',
      [groupId],
    );
    const kept = new Set(rows.map(({ id }) => id));
    const gone = [...nodes].filter((id) => !kept.has(id));
    await inFlight(gone, async (id) => {
      nodes.delete(id);
      await store.remove(nodeName(name, id));
    });
  }

  #bootRecord(groupId: string, generation: number): Promise<string> {
    const { keyring, crypto, random } = this.#options;
    const secretOf = (of: number) => ({ generation: of, secret: keyring.groupSecret(groupId, of) });
    const newest = secretOf(generation);
    const record = {
      cluster: keyring.clusterId,
      groupId,
      rootKey: must(fromBase64url(keyring.rootPublicKey), 'a root key'),
      groupSecrets: generation > 1 ? [newest, secretOf(generation - 1)] : [newest],
    };
    return writeBootRecord(record, bootKey(newest, crypto), { crypto, random });
  }
}

/** A few at a time; the first failure ends it. */
async function inFlight<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  const count = Math.min(WRITES_IN_FLIGHT_MAX, items.length);
  await Promise.all(Array.from({ length: count }, worker));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
