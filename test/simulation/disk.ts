/**
 * What outlives the process of a data plane. Files are written whole or not at all, as
 * `writeFileAtomic` does it; a process that dies meanwhile leaves the old one or the new one.
 */
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import { textIdentityStore, type IdentityStore } from '#shared/sync/identity.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { SimProcess } from './process.ts';

/** Configurations that can be put back. */
const OLDER_MAX = 4;

export class Disk {
  identity: string | null = null;
  config: StoredConfig | null = null;
  /** What lay there before, the oldest first. */
  readonly older: StoredConfig[] = [];
  /** Told of every configuration that is written, not of one that was put there. */
  onConfig: (config: StoredConfig) => void = () => {};
  isFull = false;
  /** Writes that it had no room for. */
  failures = 0;
  slownessMs = 3;
  readonly #random: SeededRandom;
  /** Writes under way: what becomes of them when the process dies. */
  readonly #pending = new Set<() => void>();

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** As it lies there, for another machine. */
  copy(): Disk {
    const copy = new Disk(this.#random);
    copy.identity = this.identity;
    copy.config = this.config;
    return copy;
  }

  identities(process: SimProcess): IdentityStore {
    return textIdentityStore({
      read: async () => this.identity,
      write: (text) => this.#write(process, () => (this.identity = text)),
    });
  }

  configs(process: SimProcess): ConfigStore {
    return {
      load: async () => this.config,
      save: (config) => {
        // As a file would: texts, not objects.
        const texts = { ...config, nodes: new Map(config.nodes) };
        return this.#write(process, () => this.#stored(texts));
      },
    };
  }

  #stored(config: StoredConfig): void {
    if (this.config !== null) this.older.push(this.config);
    if (this.older.length > OLDER_MAX) this.older.shift();
    this.config = config;
    this.onConfig(config);
  }

  /** The process died: of each write under way the rename had happened, or not. */
  crash(): void {
    for (const apply of this.#pending) if (this.#random.chance(0.5)) apply();
    this.#pending.clear();
  }

  async #write(process: SimProcess, apply: () => void): Promise<void> {
    this.#pending.add(apply);
    // Most are quick, on a slow disk as well: so one may overtake another.
    const slownessMs = this.#random.chance(0.4) ? this.slownessMs : 3;
    await process.delay(0.2 + this.#random.next() * slownessMs);
    if (!this.#pending.delete(apply)) return;
    if (this.isFull) {
      this.failures += 1;
      throw new Error('no space left on device');
    }
    apply();
  }
}
