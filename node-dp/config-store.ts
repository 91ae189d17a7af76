/**
 * The ConfigStore port over one file: the last good configuration, and the one before it that has
 * proven itself. A save adds what the file lacks (`config-log.ts`) and costs what changed; whatever
 * happens to it half way, what was there before stands. What the file says is believed only after
 * its signature was verified, which is not this file's affair.
 */
import { truncate } from 'node:fs/promises';
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import {
  errorCode,
  openToAppend,
  PRIVATE_FILE_MODE,
  readPrivateFile,
  UnusableFileError,
  writeChecked,
  writeFileAtomic,
} from '#shared/platform/node/files.ts';
import { blockOf, lacking, nodeLine, readLog, signedLine, wholeFile } from './config-log.ts';

/** A cache beyond this is not read: it would not fit beside the tables made of it. */
const FILE_BYTES_MAX = 1024 * 1024 * 1024;
/** What may be added before a file is written anew, however small it was. */
const ADDED_BYTES_MIN = 1024 * 1024;
/** A block beyond this is better written as part of a new file, piece by piece. */
const BLOCK_LENGTH_MAX = 1024 * 1024;

export type CacheState =
  | { readonly tag: 'none' }
  | { readonly tag: 'unusable'; readonly reason: string }
  | {
      readonly tag: 'read';
      readonly config: StoredConfig;
      /** What the file holds besides, newest first. */
      readonly older: readonly StoredConfig[];
      /** Set: part of the file is damaged, and `config` need not be what was saved last. */
      readonly damage: string | null;
    };

/** A file that blocks can be added to. */
interface Log {
  readonly inode: number;
  bytes: number;
  /** As it was written whole. */
  readonly bytesWhole: number;
  readonly ids: Set<string>;
}

export class FileConfigStore implements ConfigStore {
  readonly #path: string;
  /** Null: the next save writes the file anew. */
  #log: Log | null = null;
  /** Saved last by this process. */
  #newest: StoredConfig | null = null;
  /** Stays in the file beside the newest. */
  #kept: StoredConfig | null = null;
  #last: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** As the port wants it. Who wants to know why there is nothing calls `read`. */
  async load(): Promise<StoredConfig | null> {
    const state = await this.read();
    return state.tag === 'read' ? state.config : null;
  }

  /** Reads the file and says what is wrong with it. Throws nothing. */
  async read(): Promise<CacheState> {
    let found: { readonly bytes: Buffer; readonly inode: number } | null;
    try {
      found = await readPrivateFile(this.#path, FILE_BYTES_MAX);
    } catch (error) {
      if (error instanceof UnusableFileError) return unusable(error.message);
      return unusable(`cannot be read (${errorCode(error) ?? 'unknown error'})`);
    }
    if (found === null) return { tag: 'none' };
    const { bytes, inode } = found;
    if (bytes.length === 0) return unusable('empty');
    const content = readLog(bytes);
    if (content === null) return unusable('not a configuration cache of this format');
    const { configs, damage, isOpen, ids } = content;
    const [config, ...older] = configs;
    if (config === undefined) return unusable(damage ?? 'no configuration is in it');
    const bytesWhole = bytes.length;
    this.#log = isOpen ? { inode, bytes: bytesWhole, bytesWhole, ids: new Set(ids) } : null;
    return { tag: 'read', config, older, damage };
  }

  /**
   * Saves run one after the other, in the order of the calls.
   * @throws the system error; the file then holds what it held before
   */
  async save(config: StoredConfig): Promise<void> {
    const previous = this.#last;
    const current = (async () => {
      await previous.catch(() => {});
      if (!(await this.#add(config))) await this.#writeWhole(config);
      this.#newest = config;
    })();
    this.#last = current;
    await current;
  }

  /**
   * From now on this one stays in the file beside the newest, for a start that must not use that; until
   * this is called again. Without it, it is the one saved before the newest. Writes nothing: what was
   * saved is there until the file is written anew.
   */
  keep(config: StoredConfig): void {
    this.#kept = config;
  }

  /** False when it is better written whole. */
  async #add(config: StoredConfig): Promise<boolean> {
    const log = this.#log;
    if (log === null || log.bytes - log.bytesWhole > Math.max(log.bytesWhole, ADDED_BYTES_MIN)) {
      return false;
    }
    const added: string[] = [];
    let lines = '';
    for (const [id, text] of lacking(config, log.ids)) {
      added.push(id);
      lines += nodeLine(id, text);
      if (lines.length > BLOCK_LENGTH_MAX) return false;
    }
    const block = blockOf(lines + signedLine(config));
    if (!(await this.#append(block, log))) return false;
    log.bytes += block.length;
    for (const id of added) log.ids.add(id);
    return true;
  }

  /** False when the file is not the one we know. */
  async #append(block: Buffer, log: Log): Promise<boolean> {
    const file = await openToAppend(this.#path);
    if (file === null) return this.#forget();
    try {
      const before = await file.stat();
      if (before.ino !== log.inode || before.size !== log.bytes) return this.#forget();
      await writeChecked(file, block, log.bytes);
      await file.datasync();
    } catch (error) {
      // Half a block is passed over when it is read, but must not stand before another.
      this.#log = null;
      await truncate(this.#path, log.bytes).then(
        () => (this.#log = log),
        () => {},
      );
      throw error;
    } finally {
      await file.close();
    }
    return true;
  }

  #forget(): false {
    this.#log = null;
    return false;
  }

  async #writeWhole(config: StoredConfig): Promise<void> {
    this.#log = null;
    const ids = new Set<string>();
    const kept = this.#kept ?? this.#newest;
    const configs = kept === null || kept.signature === config.signature ? [] : [kept];
    const pieces = wholeFile([...configs, config], ids);
    const { inode, bytes } = await writeFileAtomic(this.#path, pieces, PRIVATE_FILE_MODE);
    this.#log = { inode, bytes, bytesWhole: bytes, ids };
  }
}

function unusable(reason: string): CacheState {
  return { tag: 'unusable', reason };
}
