/**
 * The frames of the sync protocol, each a definition in the schema language. One frame is one JSON
 * text. `docs` of the exchange: ARCHITECTURE.md, "The sync protocol".
 *
 * Signed things travel as the exact text that was signed (`manifest`, `key_list`, records), never as
 * objects that somebody would have to serialise again.
 */
import type { Fields } from '../schema/field.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { RPC_TEXT_LENGTH_MAX } from './protocol.ts';

const text = { type: 'string', required: true } as const;
const emptyableText = { type: 'string', required: true, len_min: 0 } as const;
const uuid = { type: 'string', required: true, uuid: true } as const;
const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
/** SHA-256, hex; empty when there is none yet. */
const hash = { type: 'string', required: true, len_min: 0, len_max: 64 } as const;
const labels = {
  type: 'map',
  keys: { type: 'string', len_max: 63 },
  values: { type: 'string', len_max: 63 },
  len_max: 10,
} as const;

/** Where a node stands: what it serves (or has stored), named so that it cannot mean two things. */
const position = {
  type: 'record',
  required: true,
  fields: {
    epoch: count,
    /** 0 when it has nothing. */
    revision: count,
    /** Hash of the manifest's text. */
    hash,
  },
} as const;

/** A manifest with everything needed to verify it from the pinned root key. */
const signedManifest = {
  type: 'record',
  required: true,
  fields: {
    manifest: text,
    signature: text,
    key_list: text,
    key_list_signature: text,
  },
} as const;

/** Control plane → node, first on every connection. */
export const challenge = defineFields({
  type: { type: 'string', required: true, one_of: ['challenge'] },
  protocol: count,
  protocol_min: count,
  cluster: uuid,
  /** 32 bytes, base64url. For pull, it carries its own expiry and proof. */
  nonce: text,
  /** The control plane's clock, epoch ms: lets a node report skew. */
  time: count,
  root_key: text,
  key_list: text,
  key_list_signature: text,
});

/** What a node says of itself; in `hello` and `enrol`. */
const about = {
  type: 'record',
  required: true,
  fields: {
    hostname: text,
    version: text,
    runtime: { type: 'string', required: true, one_of: ['node', 'edge'] },
    labels,
    /** Names of optional protocol features it knows; unknown ones are ignored. */
    features: { type: 'set', required: true, elements: { type: 'string' }, len_max: 64 },
  },
} as const;

/** Node → control plane, answering the challenge with its own key. */
export const hello = defineFields({
  type: { type: 'string', required: true, one_of: ['hello'] },
  protocol: count,
  node: uuid,
  group: text,
  /** Host (and port) that the node dialled: binds the signature to this control plane. */
  host: text,
  nonce: text,
  join_seq: count,
  position,
  /** Highest schema level it reads. */
  level: count,
  about,
  /** Ed25519 over `headgate-session-v1\n` + canonical text of this frame without `signature`. */
  signature: text,
});

/** Node → control plane, answering the challenge for the first time, with a join token's proof. */
export const enrol = defineFields({
  type: { type: 'string', required: true, one_of: ['enrol'] },
  protocol: count,
  token: text,
  host: text,
  nonce: text,
  /** Ed25519 public key of the node, base64url. */
  public_key: text,
  /** X25519 public key for what is sealed to the node, base64url. */
  sealing_key: text,
  level: count,
  about,
  /** HMAC-SHA-256 under SHA-256(token secret): the secret itself never crosses the wire. */
  proof: text,
  /** Ed25519 by `public_key`, over `headgate-enrol-v1\n` + canonical text without `signature`. */
  signature: text,
});

/** Control plane → node: you are in. */
export const welcome = defineFields({
  type: { type: 'string', required: true, one_of: ['welcome'] },
  protocol: count,
  cluster: uuid,
  node: uuid,
  group: text,
  group_id: uuid,
  /** To be persisted, then confirmed by the next `status`. */
  join_seq: count,
  /** Chosen level for this session. */
  level: count,
  ping_interval_ms: count,
  /**
   * The group's secret (peppers, sealing), sealed to the node's sealing key. One generation per
   * entry, newest first.
   */
  group_secrets: {
    type: 'array',
    required: true,
    elements: {
      type: 'record',
      fields: { generation: count, sealed: text },
    },
  },
  /** Where else to go: addresses of all control planes; empty when nothing is known. */
  control_planes: { type: 'array', required: true, elements: { type: 'string' } },
});

/** Control plane → node: this is the group's state now. Ask for the tree nodes you lack. */
export const manifest = defineFields({
  type: { type: 'string', required: true, one_of: ['manifest'] },
  head: signedManifest,
});

/** Control plane → node: what changed since `base`, and the manifest that the result must match. */
export const delta = defineFields({
  type: { type: 'string', required: true, one_of: ['delta'] },
  base: position,
  head: signedManifest,
  /** Canonical texts of the records added or changed. */
  upserts: { type: 'array', required: true, elements: { type: 'string' } },
  /** Keys of the records removed. */
  removals: {
    type: 'array',
    required: true,
    elements: {
      type: 'record',
      fields: { kind: text, ws: text, id: text, placement: text },
    },
  },
});

/** Node → control plane: send me these tree nodes of the state that `root` names. */
export const want = defineFields({
  type: { type: 'string', required: true, one_of: ['want'] },
  ids: { type: 'array', required: true, elements: { type: 'string', len_eq: 64 }, len_max: 256 },
});

/** Control plane → node: tree nodes by hash. Immutable, so they may come from anywhere. */
export const shards = defineFields({
  type: { type: 'string', required: true, one_of: ['shards'] },
  nodes: {
    type: 'array',
    required: true,
    elements: { type: 'record', fields: { id: text, text } },
  },
  /** Asked for and not there (swept): start again from the newest manifest. */
  missing: { type: 'array', required: true, elements: { type: 'string' } },
});

/** Node → control plane: I am serving this. */
export const ack = defineFields({
  type: { type: 'string', required: true, one_of: ['ack'] },
  position,
  /** False when it could not be written to disk or KV (it is served all the same). */
  persisted: { type: 'boolean', required: true },
  /** Entities set aside, by name, at most 100. */
  quarantined: {
    type: 'array',
    required: true,
    len_max: 100,
    elements: { type: 'record', fields: { kind: text, id: text, reason: text } },
  },
});

/** Node → control plane: I do not serve this, I keep what I had. */
export const nack = defineFields({
  type: { type: 'string', required: true, one_of: ['nack'] },
  position,
  code: {
    type: 'string',
    required: true,
    one_of: [
      'bad_signature',
      'wrong_cluster',
      'wrong_group',
      'not_newer',
      'hash_mismatch',
      'too_large',
      'unknown_feature',
      'build_failed',
      'crashed',
    ],
  },
  /** The entity to blame, when there is one. */
  entity: {
    type: 'record',
    required: false,
    fields: { kind: text, id: text },
  },
  detail: emptyableText,
});

/** Node → control plane, at least after `welcome` and on change. */
export const status = defineFields({
  type: { type: 'string', required: true, one_of: ['status'] },
  join_seq: count,
  position,
  last_error: { type: 'string', required: false },
});

/** Both ways. A `pong` is the ping sent back. */
export const ping = defineFields({
  type: { type: 'string', required: true, one_of: ['ping'] },
  position,
});

export const pong = defineFields({
  type: { type: 'string', required: true, one_of: ['pong'] },
  /** Head of the group at the control plane: shows a node that something was withheld. */
  position,
});

const healthWord = {
  type: 'string',
  required: true,
  one_of: ['HEALTHY', 'UNHEALTHY', 'DNS_ERROR', 'HEALTHCHECKS_OFF'],
} as const;
const upstreamKey = { ws: uuid, name: text } as const;
const weight = { type: 'number', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;

/** An Upstream's targets, as one node sees them. */
const upstreamReport = {
  type: 'record',
  required: true,
  fields: {
    ...upstreamKey,
    /** `HEALTHCHECKS_OFF` when nothing is checked. */
    health: healthWord,
    /** Whether it takes requests at all. */
    balancer: healthWord,
    targets: {
      type: 'array',
      required: true,
      len_max: 1000,
      elements: {
        type: 'record',
        fields: {
          /** `host:port` */
          target: text,
          weight,
          /** The kind of records that its addresses are of; null: the node does not know. */
          dns: { type: 'string', required: false, one_of: ['A', 'AAAA', 'SRV'] },
          health: healthWord,
          addresses: {
            type: 'array',
            required: true,
            len_max: 1000,
            elements: {
              type: 'record',
              fields: { ip: text, port: count, weight, health: healthWord },
            },
          },
        },
      },
    },
    /** Addresses that were left out because there are too many. */
    dropped: count,
  },
} as const;

/** Node → control plane: what changed of its Upstreams' health. Of protocol 2 and connections. */
export const health = defineFields({
  type: { type: 'string', required: true, one_of: ['health'] },
  /** First of a session: nothing that was said before counts any more. */
  reset: { type: 'boolean', required: true },
  upstreams: { type: 'array', required: true, len_max: 512, elements: upstreamReport },
  /** No configuration that is served has them any more; counts before `upstreams`. */
  gone: {
    type: 'array',
    required: true,
    len_max: 512,
    elements: { type: 'record', fields: upstreamKey },
  },
});

const rpcText = { type: 'string', required: true, len_max: RPC_TEXT_LENGTH_MAX } as const;

/** Both ways: does one of the other end's methods, see `rpc-methods.ts`. Of protocol 3. */
export const call = defineFields({
  type: { type: 'string', required: true, one_of: ['call'] },
  /** The caller's choice; names the answer. */
  id: count,
  method: { type: 'string', required: true, len_max: 64 },
  /** JSON text of a record. */
  params: rpcText,
});

/** Both ways: what became of a `call`. */
export const result = defineFields({
  type: { type: 'string', required: true, one_of: ['result'] },
  id: count,
  ok: { type: 'boolean', required: true },
  /** JSON text of a record; null unless `ok`. */
  value: { ...rpcText, required: false },
  /** Null if `ok`. */
  error: {
    type: 'record',
    required: false,
    fields: {
      code: {
        type: 'string',
        required: true,
        one_of: ['unknown_method', 'bad_params', 'busy', 'timeout', 'failed'],
      },
      detail: emptyableText,
    },
  },
});

/** Control plane → node: leave, and come back elsewhere. */
export const goaway = defineFields({
  type: { type: 'string', required: true, one_of: ['goaway'] },
  retry_after_ms: count,
  control_planes: { type: 'array', required: true, elements: { type: 'string' } },
});

/** Definitions by type, for the codec. */
export const UP_FRAMES = {
  hello,
  enrol,
  want,
  ack,
  nack,
  status,
  ping,
  health,
  call,
  result,
} as const;
export const DOWN_FRAMES = {
  challenge,
  welcome,
  manifest,
  delta,
  shards,
  pong,
  call,
  result,
  goaway,
} as const satisfies Record<string, Fields>;

export type Position = RecordOf<typeof position.fields>;
export type SignedManifest = RecordOf<typeof signedManifest.fields>;
export type UpstreamReport = RecordOf<typeof upstreamReport.fields>;
export type About = RecordOf<typeof about.fields>;
export type UpFrame = {
  [K in keyof typeof UP_FRAMES]: RecordOf<(typeof UP_FRAMES)[K]>;
}[keyof typeof UP_FRAMES];
export type DownFrame = {
  [K in keyof typeof DOWN_FRAMES]: RecordOf<(typeof DOWN_FRAMES)[K]>;
}[keyof typeof DOWN_FRAMES];
export type FrameOf<T extends UpFrame['type'] | DownFrame['type']> = Extract<
  UpFrame | DownFrame,
  { type: T }
>;
