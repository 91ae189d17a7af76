/**
 * A record: one entity in its wire shape. Its canonical text (RFC 8785) is made once, at publishing,
 * hashed, signed through the tree, and passed on verbatim ever after (decision 5).
 */
import { hex } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';
import type { AnyEntity } from '../schema/infer.ts';
import { canonicalJson } from './canonical.ts';
import type { ConfigTree } from './tree.ts';

export interface RecordKey {
  /** The definition's name: `routes`. */
  readonly kind: string;
  /** Workspace id. */
  readonly ws: string;
  readonly id: string;
  /** Value of the definition's placement field: where in the tree the record lies (decision 6). */
  readonly placement: string;
}

/** What a data plane works with. Text is `{"body":…,"id":…,"kind":…,"placement":…,"ws":…}`. */
export interface ConfigRecord extends RecordKey {
  readonly text: string;
  /** SHA-256 of the text, hex. */
  readonly hash: string;
  /** The entity as sent: Kong's JSON, lookup secrets replaced by their keyed hash (hex). */
  readonly body: AnyEntity;
  /**
   * Why its secrets could not be opened (see `opening.ts`); absent when all is well. Such an entity
   * must not be used as if it had none: what needs it is closed.
   */
  readonly fault?: string;
}

/** A data plane's configuration: verified, complete, immutable. */
export interface Replica {
  readonly cluster: string;
  readonly group: string;
  readonly epoch: number;
  readonly revision: number;
  /** Hash of the manifest's text, hex. */
  readonly hash: string;
  /** Generation of the group's secret that its records were made with; null: not said, the newest. */
  readonly secretGeneration: number | null;
  readonly tree: ConfigTree;
}

/**
 * Makes a record's text and hash.
 *
 * @throws CanonicalError when the body has no canonical text
 */
export function makeRecord(key: RecordKey, body: AnyEntity, crypto: Crypto): ConfigRecord {
  const { kind, ws, id, placement } = key;
  const text = canonicalJson({ body, id, kind, placement, ws });
  return { kind, ws, id, placement, body, text, hash: hex(crypto.sha256(text)) };
}

const MEMBERS = 'body,id,kind,placement,ws';

/**
 * Reads a record back. Whether the text is genuine is for its hash to say, in a signed tree.
 *
 * @returns null when the text is not a record: not JSON, other members, other types, or a body that
 *   is not of the id
 */
export function parseRecordText(text: string, crypto: Crypto): ConfigRecord | null {
  // A line break never stands in a canonical text; tree nodes count on it.
  if (text.includes('\n')) return null;
  const value = parseJson(text);
  if (!isObject(value) || Object.keys(value).toSorted().join() !== MEMBERS) return null;
  const { kind, ws, id, placement, body } = value;
  if (typeof kind !== 'string' || typeof ws !== 'string') return null;
  if (typeof id !== 'string' || typeof placement !== 'string') return null;
  if (!isEntity(body) || body.id !== id) return null;
  // Equal texts once: there are a hundred thousand records.
  const place = placement === id ? body.id : placement;
  return { kind, ws, id: body.id, placement: place, body, text, hash: hex(crypto.sha256(text)) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEntity(value: unknown): value is AnyEntity {
  return isObject(value) && typeof value['id'] === 'string';
}
