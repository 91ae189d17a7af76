/**
 * The ConfigStore port over one file: the last good configuration, written whole or not at all.
 *
 * A head line, one JSON line per signed text and per tree node, and a last line with the SHA-256 of
 * everything before it. The checksum tells a damaged file from a good one; what the file says is
 * believed only after its signature was verified, which is not this file's affair.
 */
import { createHash, hash, randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import {
  errorCode,
  PRIVATE_FILE_MODE,
  TEMPORARY_SUFFIX,
  writeFileAtomic,
} from '#shared/platform/node/files.ts';

const HEAD_LINE = 'headgate-config 1\n';
const CHECKSUM_LINE = /^sha256 ([0-9a-f]{64})\n$/;
const CHECKSUM_LINE_BYTES = 'sha256 '.length + 64 + 1;
/** Written at a go; other work gets its turn in between. */
const PIECE_LENGTH = 256 * 1024;
/** A cache beyond this is not read: it would not fit beside the tables made of it. */
const FILE_BYTES_MAX = 1024 * 1024 * 1024;

export type CacheState =
  | { readonly tag: 'none' }
  | { readonly tag: 'unusable'; readonly reason: string }
  | { readonly tag: 'read'; readonly config: StoredConfig };

export class FileConfigStore implements ConfigStore {
  readonly #path: string;
  /** Signature of what the file holds, as far as it was read or written here; null: not known. */
  #held: string | null = null;
  #last: Promise<unknown> = Promise.resolve();

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
    let bytes: Buffer;
    try {
      const { size } = await stat(this.#path);
      if (size > FILE_BYTES_MAX) return unusable('larger than a cache can be');
      bytes = await readFile(this.#path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return { tag: 'none' };
      return unusable(`cannot be read (${errorCode(error) ?? 'unknown error'})`);
    }
    const state = parse(bytes);
    this.#held = state.tag === 'read' ? state.config.signature : null;
    return state;
  }

  /**
   * Saves run one after the other, in the order of the calls.
   * @throws the system error; the file then holds what it held before
   */
  async save(config: StoredConfig): Promise<void> {
    await this.#inTurn(async () => {
      this.#held = null;
      await writeFileAtomic(this.#path, pieces(config), PRIVATE_FILE_MODE);
      this.#held = config.signature;
    });
  }

  /**
   * Gives the file another name too, under which it stays whatever is saved afterwards, if it holds the
   * configuration of this signature; says whether. Files are replaced, never written to again, so it
   * costs no copy.
   *
   * @throws the system error; the name then stands for what it stood for before
   */
  async keepAs(name: string, signature: string): Promise<boolean> {
    return this.#inTurn(async () => {
      if (this.#held !== signature) return false;
      const folder = dirname(this.#path);
      const temporary = join(folder, `.${basename(this.#path)}.${randomUUID()}${TEMPORARY_SUFFIX}`);
      await link(this.#path, temporary);
      await rename(temporary, join(folder, name));
      return true;
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const previous = this.#last;
    const current = (async () => {
      await previous.catch(() => {});
      return work();
    })();
    this.#last = current;
    return current;
  }

  /** Removes what a crash in the middle of a save left behind. */
  async sweep(): Promise<void> {
    const folder = dirname(this.#path);
    const prefix = `.${basename(this.#path)}.`;
    const left = (await readdir(folder)).filter(
      (name) => name.startsWith(prefix) && name.endsWith(TEMPORARY_SUFFIX),
    );
    await Promise.all(left.map((name) => unlink(join(folder, name)).catch(() => {})));
  }
}

function unusable(reason: string): CacheState {
  return { tag: 'unusable', reason };
}

async function* pieces(config: StoredConfig): AsyncGenerator<string> {
  const digest = createHash('sha256');
  let piece = HEAD_LINE;
  const flush = (): string => {
    digest.update(piece);
    const full = piece;
    piece = '';
    return full;
  };
  const { manifest, signature, keyList, keyListSignature } = config;
  piece += `${JSON.stringify({ manifest, signature, keyList, keyListSignature })}\n`;
  for (const [id, text] of config.nodes) {
    piece += `${JSON.stringify([id, text])}\n`;
    if (piece.length >= PIECE_LENGTH) yield flush();
  }
  yield flush();
  yield `sha256 ${digest.digest('hex')}\n`;
}

function parse(bytes: Buffer): CacheState {
  if (bytes.length === 0) return unusable('empty');
  if (!bytes.subarray(0, HEAD_LINE.length).equals(Buffer.from(HEAD_LINE))) {
    return unusable('not a configuration cache of this format');
  }
  const end = bytes.length - CHECKSUM_LINE_BYTES;
  const sum = end < HEAD_LINE.length ? null : CHECKSUM_LINE.exec(bytes.toString('latin1', end));
  if (sum === null) return unusable('truncated');
  const content = bytes.subarray(0, end);
  if (hash('sha256', content, 'hex') !== sum[1]) return unusable('checksum does not match');
  const lines = content.toString('utf8', HEAD_LINE.length).split('\n');
  const config = parseLines(lines);
  return config === null ? unusable('not in the expected shape') : { tag: 'read', config };
}

function parseLines(lines: readonly string[]): StoredConfig | null {
  const signed = parseSigned(lines[0] ?? '');
  if (signed === null) return null;
  const nodes = new Map<string, string>();
  // The last element is what follows the last newline: nothing.
  for (const line of lines.slice(1, -1)) {
    const pair = parseJson(line);
    if (!Array.isArray(pair) || pair.length !== 2) return null;
    const [id, text]: readonly unknown[] = pair;
    if (typeof id !== 'string' || typeof text !== 'string') return null;
    nodes.set(id, text);
  }
  return { ...signed, nodes };
}

function parseSigned(line: string): Omit<StoredConfig, 'nodes'> | null {
  const value = parseJson(line);
  if (typeof value !== 'object' || value === null) return null;
  const { manifest, signature, keyList, keyListSignature } = value as Record<string, unknown>;
  if (typeof manifest !== 'string' || typeof signature !== 'string') return null;
  if (typeof keyList !== 'string' || typeof keyListSignature !== 'string') return null;
  return { manifest, signature, keyList, keyListSignature };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
