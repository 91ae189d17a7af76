/**
 * What this control plane has seen published, beside its keys: a database that knows less has lost
 * something, whatever it says of itself. A hint that may be missing; never a reason not to work.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensurePrivateDir, errorCode, writeFileAtomic } from '#shared/platform/node/files.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { Position } from '#shared/wire/frames.ts';

/** Longest that something seen is not yet in the file. */
export const WITNESS_DELAY_MS = 1_000;

const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;

const witnessFields = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  cluster: { type: 'string', required: true, uuid: true },
  groups: {
    type: 'map',
    required: true,
    keys: { type: 'string', uuid: true },
    values: {
      type: 'record',
      required: true,
      fields: {
        epoch: count,
        revision: count,
        hash: { type: 'string', required: true, len_eq: 64 },
      },
    },
  },
});

export class Witness {
  readonly #path: string | null;
  readonly #folder: string;
  readonly #cluster: string;
  readonly #logger: Logger;
  readonly #seen = new Map<string, Position>();
  #timer: NodeJS.Timeout | null = null;
  #saving: Promise<void> = Promise.resolve();

  /** @param dataDir  `HEADGATE_DATA_DIR`; null: in memory only */
  constructor(dataDir: string | null, cluster: string, logger: Logger) {
    this.#folder = dataDir === null ? '' : join(dataDir, 'cp');
    this.#path = dataDir === null ? null : join(this.#folder, 'seen.json');
    this.#cluster = cluster;
    this.#logger = logger;
  }

  async load(): Promise<void> {
    if (this.#path === null) return;
    try {
      const parsed = parseRecord(witnessFields, JSON.parse(await readFile(this.#path, 'utf8')));
      if (!parsed.ok || parsed.value.cluster !== this.#cluster) return;
      for (const [group, position] of Object.entries(parsed.value.groups)) {
        if (position !== null && position !== undefined) this.#seen.set(group, position);
      }
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      this.#logger.log('warn', 'what was seen before cannot be read', { error: String(error) });
    }
  }

  get isEmpty(): boolean {
    return this.#seen.size === 0;
  }

  of(groupId: string): Position | null {
    return this.#seen.get(groupId) ?? null;
  }

  all(): ReadonlyMap<string, Position> {
    return this.#seen;
  }

  /** Only what is newer counts. */
  saw(groupId: string, position: Position): void {
    const known = this.#seen.get(groupId);
    if (known !== undefined && compare(position, known) <= 0) return;
    this.#seen.set(groupId, position);
    if (this.#path === null || this.#timer !== null) return;
    this.#timer = setTimeout(() => void this.save(), WITNESS_DELAY_MS);
    this.#timer.unref();
  }

  /** The group is gone. */
  forget(groupId: string): void {
    this.#seen.delete(groupId);
  }

  /** Writes what has been seen; never rejects. */
  save(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#saving = this.#saving.then(() => this.#write());
    return this.#saving;
  }

  async #write(): Promise<void> {
    if (this.#path === null) return;
    const groups = Object.fromEntries(this.#seen);
    const text = JSON.stringify({ format: 1, cluster: this.#cluster, groups });
    try {
      await ensurePrivateDir(this.#folder);
      await writeFileAtomic(this.#path, `${text}\n`);
    } catch (error) {
      this.#logger.log('warn', 'what was seen cannot be written', { error: String(error) });
    }
  }
}

function compare(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.revision - b.revision;
}
