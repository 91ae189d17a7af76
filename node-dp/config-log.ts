/**
 * The text of the configuration cache: a head line, then blocks, each with its length and the SHA-256
 * of what is in it. Blocks are only ever added at the end, so that a change costs what changed; now
 * and then the file is written anew without what nobody needs any more.
 *
 *     headgate-config 2
 *     block <length, 10 digits> <SHA-256, hex>
 *     ["<id>","<text>"]                               a tree node
 *     {"manifest":…,"signature":…,"keyList":…,"keyListSignature":…}
 *
 * A line that is an object is a configuration: its tree is made of nodes that stand before it. A block
 * that was cut short by a crash, or damaged since, is passed over. Whether what remains is whole is
 * for the hashes in it to say: no tree node is believed but by its id.
 */
import { createHash, hash } from 'node:crypto';
import type { StoredConfig } from '#shared/platform/platform.ts';

export const HEAD_LINE = 'headgate-config 2\n';
/** Of the first release: one configuration, with a checksum over all of it at the end. */
const OLD_HEAD_LINE = 'headgate-config 1\n';

const LENGTH_DIGITS = 10;
const BLOCK_LINE = /^block (\d{10}) ([0-9a-f]{64})\n$/;
const BLOCK_LINE_BYTES = 'block '.length + LENGTH_DIGITS + 1 + 64 + 1;
const OLD_CHECKSUM_LINE = /^sha256 ([0-9a-f]{64})\n$/;
const OLD_CHECKSUM_BYTES = 'sha256 '.length + 64 + 1;
/** Configurations that are looked for in a file, newest first: the last one and a few before it. */
const CONFIGS_MAX = 16;
/** Length of a block's text when a file is written anew; other work gets its turn in between. */
const PIECE_LENGTH = 256 * 1024;

export type Signed = Omit<StoredConfig, 'nodes'>;

/** What a file holds. */
export interface LogContent {
  /** Newest first. Their nodes are all that the file has. */
  readonly configs: readonly StoredConfig[];
  /** Set: something of it is damaged or cut off. */
  readonly damage: string | null;
  /** Blocks can be added to it: it is of this format, and nothing of it is damaged. */
  readonly isOpen: boolean;
  /** Ids of the nodes in it. */
  readonly ids: ReadonlySet<string>;
}

/** Bytes of a block. */
export function blockOf(lines: string): Buffer {
  const body = Buffer.from(lines);
  const length = String(body.length).padStart(LENGTH_DIGITS, '0');
  return Buffer.concat([Buffer.from(`block ${length} ${hash('sha256', body, 'hex')}\n`), body]);
}

export function nodeLine(id: string, text: string): string {
  return `${JSON.stringify([id, text])}\n`;
}

export function signedLine({ manifest, signature, keyList, keyListSignature }: Signed): string {
  return `${JSON.stringify({ manifest, signature, keyList, keyListSignature })}\n`;
}

/** A whole file with these configurations, oldest first. Notes the ids that it writes. */
export function* wholeFile(
  configs: readonly StoredConfig[],
  ids: Set<string>,
): Generator<Buffer, undefined> {
  yield Buffer.from(HEAD_LINE);
  let lines = '';
  for (const config of configs) {
    for (const [id, text] of lacking(config, ids)) {
      ids.add(id);
      lines += nodeLine(id, text);
      if (lines.length < PIECE_LENGTH) continue;
      yield blockOf(lines);
      lines = '';
    }
    lines += signedLine(config);
  }
  yield blockOf(lines);
}

/** Nodes of a configuration that are not among `ids`. */
export function lacking(
  { nodes }: StoredConfig,
  ids: ReadonlySet<string>,
): Iterable<readonly [string, string]> {
  const isKnown = (id: string): boolean => ids.has(id);
  return nodes.lacking?.(isKnown) ?? [...nodes].filter(([id]) => !isKnown(id));
}

/** Reads a file. Null when it is of no format that is known here. */
export function readLog(bytes: Buffer): LogContent | null {
  if (startsWith(bytes, OLD_HEAD_LINE)) return readOld(bytes);
  if (!startsWith(bytes, HEAD_LINE)) return null;
  const nodes = new Map<string, string>();
  const heads: Signed[] = [];
  let damage: string | null = null;
  let at = HEAD_LINE.length;
  while (at < bytes.length) {
    const block = blockAt(bytes, at);
    if (block === null) {
      damage = 'a block is cut off or damaged';
      break;
    }
    if (block.isWhole && readLines(block.body.toString('utf8'), nodes, heads)) at = block.end;
    else {
      damage = 'a block is damaged';
      at = block.end;
    }
  }
  const configs = heads
    .toReversed()
    .slice(0, CONFIGS_MAX)
    .map((signed) => configOf(signed, nodes));
  return { configs, damage, isOpen: damage === null, ids: new Set(nodes.keys()) };
}

function startsWith(bytes: Buffer, line: string): boolean {
  return bytes.subarray(0, line.length).equals(Buffer.from(line));
}

/** Null when there is no telling where it ends. */
function blockAt(
  bytes: Buffer,
  at: number,
): { readonly body: Buffer; readonly isWhole: boolean; readonly end: number } | null {
  const start = at + BLOCK_LINE_BYTES;
  const match = BLOCK_LINE.exec(bytes.toString('latin1', at, start));
  if (match === null) return null;
  const end = start + Number(match[1]);
  if (end > bytes.length) return null;
  const body = bytes.subarray(start, end);
  return { body, isWhole: hash('sha256', body, 'hex') === match[2], end };
}

/** False for what is not in the expected shape; what stood before it counts all the same. */
function readLines(body: string, nodes: Map<string, string>, heads: Signed[]): boolean {
  // What follows the last line break: nothing.
  const lines = body.split('\n').slice(0, -1);
  return lines.every((line) => {
    const value = parseJson(line);
    if (Array.isArray(value)) return takeNode(value, nodes);
    const signed = signedOf(value);
    if (signed !== null) heads.push(signed);
    return signed !== null;
  });
}

function takeNode(pair: readonly unknown[], nodes: Map<string, string>): boolean {
  const [id, text] = pair;
  if (pair.length !== 2 || typeof id !== 'string' || typeof text !== 'string') return false;
  nodes.set(id, text);
  return true;
}

function signedOf(value: unknown): Signed | null {
  if (typeof value !== 'object' || value === null) return null;
  const { manifest, signature, keyList, keyListSignature } = value as Record<string, unknown>;
  if (typeof manifest !== 'string' || typeof signature !== 'string') return null;
  if (typeof keyList !== 'string' || typeof keyListSignature !== 'string') return null;
  return { manifest, signature, keyList, keyListSignature };
}

function configOf(
  { manifest, signature, keyList, keyListSignature }: Signed,
  nodes: ReadonlyMap<string, string>,
): StoredConfig {
  return { manifest, signature, keyList, keyListSignature, nodes };
}

function readOld(bytes: Buffer): LogContent | null {
  const end = bytes.length - OLD_CHECKSUM_BYTES;
  const sum = end < 0 ? null : OLD_CHECKSUM_LINE.exec(bytes.toString('latin1', end));
  const damaged = (damage: string): LogContent => {
    return { configs: [], damage, isOpen: false, ids: new Set() };
  };
  if (sum === null) return damaged('it is cut off');
  const content = bytes.subarray(0, end);
  if (createHash('sha256').update(content).digest('hex') !== sum[1]) {
    return damaged('its checksum does not match');
  }
  const nodes = new Map<string, string>();
  const heads: Signed[] = [];
  const isRead = readLines(content.toString('utf8', OLD_HEAD_LINE.length), nodes, heads);
  if (!isRead) return damaged('it is not in the expected shape');
  const configs = heads.map((signed) => configOf(signed, nodes));
  // Written anew, in today's format, at the next save.
  return { configs, damage: null, isOpen: false, ids: new Set() };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
