/**
 * What the two ends of a session may ask of each other: the closed list of methods, by direction. Params
 * and results are records of the schema language; they travel as JSON texts in `call` and `result`.
 *
 * A node says which methods it answers in `about.features`, as `rpc.<method>`; a control plane answers
 * all of `UP_METHODS` that it has. To add a method raises nothing; to change one is to add another.
 */
import type { Fields } from '../schema/field.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';

const text = { type: 'string', required: true } as const;
const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;

/** Counters in one call of `counters`. */
export const COUNTERS_MAX = 256;
/** Caches named in one call of `cache_purge`. */
export const CACHES_MAX = 16;
/** Of a manifest in one answer of `head`: however its text is escaped, the answer is not too long. */
export const HEAD_PART_LENGTH = 28_000;
/** Seconds that a change by hand may last: a week. */
export const RPC_SECONDS_MAX = 7 * 24 * 3600;

/** Control plane → node. */
export const DOWN_METHODS = {
  /** Logs more, or less, for a while. */
  log_level: {
    params: defineFields({
      level: { type: 'string', required: true, one_of: ['debug', 'info', 'warn', 'error'] },
      /** Until it is as it was; 0: until the process ends. */
      seconds: { type: 'integer', required: true, between: [0, RPC_SECONDS_MAX] },
    }),
    result: defineFields({ level: text }),
  },
  /** Takes no new connections and answers "not ready", until told otherwise or for a while. */
  drain: {
    params: defineFields({
      draining: { type: 'boolean', required: true },
      /** 0: until told, or until the process ends. */
      seconds: { type: 'integer', required: true, between: [0, RPC_SECONDS_MAX] },
    }),
    result: defineFields({
      draining: { type: 'boolean', required: true },
      /** Connections that are still open. */
      connections: count,
    }),
  },
  /** Forgets what can be had again. */
  cache_purge: {
    params: defineFields({
      /** By name; none: all that the node has. */
      caches: { type: 'set', required: true, len_max: CACHES_MAX, elements: { type: 'string' } },
    }),
    result: defineFields({
      /** What it had of those, and how much was in it. */
      purged: {
        type: 'array',
        required: true,
        len_max: CACHES_MAX,
        elements: { type: 'record', fields: { cache: text, entries: count } },
      },
    }),
  },
  /** Somebody says by hand how a target is. */
  target_health: {
    params: defineFields({
      ws: { type: 'string', required: true, uuid: true },
      /** Of the Upstream. */
      name: text,
      /** `host:port` */
      target: text,
      /** `ip` or `ip:port`; null: all addresses. */
      address: { type: 'string', required: false },
      healthy: { type: 'boolean', required: true },
    }),
    /** False: the node does not serve such a target. */
    result: defineFields({ known: { type: 'boolean', required: true } }),
  },
  /** Makes another key to sign with, and asks for it by `rotate_key`. */
  renew_key: {
    params: defineFields({}),
    result: defineFields({}),
  },
  /** Shows the manifest of what it serves, a part at a time. Refused while it serves nothing. */
  head: {
    params: defineFields({
      /** UTF-16 units of the text that are known already. */
      from: count,
    }),
    result: defineFields({
      manifest: { type: 'string', required: true, len_min: 0, len_max: HEAD_PART_LENGTH },
      /** Of the whole text. */
      length: count,
      signature: text,
    }),
  },
} as const satisfies Methods;

/** Node → control plane. What is counted or kept is of the node's own group, whatever it says. */
export const UP_METHODS = {
  /**
   * Another key to sign sessions with. Both count until the new one is used; then the old one is none
   * any more. To be said again with the same key when its answer got lost.
   */
  rotate_key: {
    params: defineFields({
      /** Ed25519, base64url. */
      public_key: text,
      /** Of the present key and of the new one, over `headgate-rotate-v1\n` node `\n` public_key. */
      by_old: text,
      by_new: text,
    }),
    result: defineFields({}),
  },
  /** Proof that the group's head is what it is now, see `shared/sync/freshness.ts`. By pull too. */
  freshness: {
    params: defineFields({
      /** Of the node, made for this call only. */
      nonce: { type: 'string', required: true, len_min: 16, len_max: 64 },
      /** How long ago the control plane may have looked into its database. */
      max_age_ms: count,
    }),
    result: defineFields({
      statement: text,
      signature: text,
      key_list: text,
      key_list_signature: text,
    }),
  },
  /** Counters that the nodes of a group share: increments in, totals over all nodes back. */
  counters: {
    params: defineFields({
      increments: {
        type: 'array',
        required: true,
        len_max: COUNTERS_MAX,
        elements: {
          type: 'record',
          fields: {
            name: { type: 'string', required: true, len_max: 128 },
            /** Epoch seconds at which the window began. */
            window: count,
            /** Length of the window. */
            seconds: { type: 'integer', required: true, between: [1, 366 * 24 * 3600] },
            /** 0: only asks. */
            by: { type: 'integer', required: true, between: [0, 1_000_000_000] },
          },
        },
      },
    }),
    /** In the order asked; -1: there are too many counters, and this one is not kept. */
    result: defineFields({
      totals: {
        type: 'array',
        required: true,
        len_max: COUNTERS_MAX,
        elements: { type: 'integer', between: [-1, Number.MAX_SAFE_INTEGER] },
      },
    }),
  },
} as const satisfies Methods;

export interface Method {
  readonly params: Fields;
  readonly result: Fields;
}
export type Methods = Readonly<Record<string, Method>>;
export type DownMethods = typeof DOWN_METHODS;
export type UpMethods = typeof UP_METHODS;
export type ParamsOf<M extends Method> = RecordOf<M['params']>;
export type ResultOf<M extends Method> = RecordOf<M['result']>;

/** In `about.features`, before the name of a method that the node answers. */
const FEATURE_PREFIX = 'rpc.';

export function featureOf(method: string): string {
  return `${FEATURE_PREFIX}${method}`;
}

/** Names of the methods among a node's features, also of ones that are not known here. */
export function methodsIn(features: readonly string[]): string[] {
  return features
    .filter((feature) => feature.startsWith(FEATURE_PREFIX))
    .map((feature) => feature.slice(FEATURE_PREFIX.length));
}
