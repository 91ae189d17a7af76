/**
 * A record: one entity in its wire shape. Its canonical text (RFC 8785) is made once, at publishing,
 * hashed, signed through the tree, and passed on verbatim ever after (decision 5).
 */
import type { AnyEntity } from '../schema/infer.ts';

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
}

/** A data plane's configuration: verified, complete, immutable. */
export interface Replica {
  readonly cluster: string;
  readonly group: string;
  readonly epoch: number;
  readonly revision: number;
  /** Hash of the manifest's text, hex. */
  readonly hash: string;
  /** All records, in tree order. */
  records(): Iterable<ConfigRecord>;
  readonly recordCount: number;
}
