/**
 * The ports: everything in which the runtimes differ. `shared/` reaches time, randomness and I/O only
 * through these; a data plane implements them once. Each port has a suite in `test/conformance/` that
 * both runtimes run. (A `CacheStore` joins when something uses it.)
 */
import type { MaybePromise } from '../base/maybe-promise.ts';
import type { BodyMemory } from '../http/body-memory.ts';
import type { Body } from '../http/body.ts';
import type { HeaderList } from '../http/headers.ts';
import type { JsonObject } from '../schema/field.ts';

export interface Clock {
  /** Milliseconds since the epoch. For records and expiry, never for ordering. */
  now(): number;
  /** Milliseconds of a clock that never jumps, fractional. For durations and deadlines. */
  monotonic(): number;
  /** Calls `fn` once after `delayMs`; the answer cancels it. */
  setTimer(delayMs: number, fn: () => void): () => void;
}

export interface Random {
  bytes(length: number): Uint8Array;
  /** A v4 UUID, lower case. */
  uuid(): string;
  /** Uniform in [0, 1). */
  next(): number;
}

/** A key pair as raw bytes: Ed25519 (32-byte seed / 32-byte public) or X25519 alike. */
export interface RawKeyPair {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

export interface Crypto {
  sha256(data: Uint8Array | string): Uint8Array;
  /** HMAC-SHA-256. */
  hmac(key: Uint8Array, data: Uint8Array | string): Uint8Array;
  /** Same length and same bytes, in time that depends on the length only. */
  timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean;
  generateSigningKey(): Promise<RawKeyPair>;
  /** Ed25519. */
  sign(privateKey: Uint8Array, data: Uint8Array): Promise<Uint8Array>;
  /** Ed25519. False for a malformed key or signature, never an exception. */
  verify(publicKey: Uint8Array, signature: Uint8Array, data: Uint8Array): Promise<boolean>;
  generateSealingKey(): Promise<RawKeyPair>;
  /** X25519 shared secret, 32 bytes. */
  agree(privateKey: Uint8Array, publicKey: Uint8Array): Promise<Uint8Array>;
  /** HKDF-SHA-256. */
  derive(secret: Uint8Array, salt: Uint8Array, info: string, length: number): Promise<Uint8Array>;
  /** AES-256-GCM; answers ciphertext followed by the 16-byte tag. */
  encrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    data: Uint8Array,
  ): Promise<Uint8Array>;
  /** Null when the tag does not fit. */
  decrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    data: Uint8Array,
  ): Promise<Uint8Array | null>;
}

/** Lets one side learn that the other has gone, without a WHATWG object per request. */
export interface Abort {
  readonly aborted: boolean;
  /** Calls `fn` once on abort (at once when it has happened already); the answer unsubscribes. */
  onAbort(fn: () => void): () => void;
}

/** What goes to a target. Built by the core, sent by the transport as it stands. */
export interface UpstreamRequest {
  readonly scheme: 'http' | 'https';
  /** Host name or address that is meant (IPv6 without brackets). */
  readonly host: string;
  /** Address to connect to, when the core has resolved `host`; null: the transport finds it. */
  readonly address: string | null;
  readonly port: number;
  /** `2` is for gRPC: by ALPN over TLS, by prior knowledge in clear text. */
  readonly httpVersion: '1.1' | '2';
  /** Asks to switch protocols: a 101 brings a tunnel, any other answer is an ordinary one. */
  readonly upgrade: 'websocket' | null;
  readonly method: string;
  /** Path and query as sent: concatenated, never resolved against a base. */
  readonly target: string;
  /** Complete, `host` included; no hop-by-hop field but those the core put in on purpose. */
  readonly headers: HeaderList;
  readonly body: Body;
  /** Read ahead of a client that is slow, within bounds, so that the target is free. Default: no. */
  readonly readsAhead?: boolean;
  readonly connectTimeoutMs: number;
  /** Longest silence while sending the request. */
  readonly writeTimeoutMs: number;
  /** Longest silence while waiting for or reading the response. */
  readonly readTimeoutMs: number;
  readonly tls: UpstreamTls | null;
  readonly abort: Abort;
}

export interface UpstreamTls {
  readonly serverName: string | null;
  readonly verify: boolean;
  /** Longest chain accepted, intermediates only; null for the library's own limit. */
  readonly verifyDepth: number | null;
  /** PEM texts of the only authorities to trust; null for the runtime's own. Same list, same object. */
  readonly ca: readonly string[] | null;
  readonly clientCertificate: ClientCertificate | null;
}

/** What we show to upstreams that ask who we are. Same certificate, same object. */
export interface ClientCertificate {
  readonly id: string;
  /** PEM, leaf first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Body;
  /** With a 101 only; null otherwise. */
  readonly tunnel: Tunnel | null;
}

/**
 * The upstream's side of a connection (or UDP session) whose bytes nobody looks at. Made by a transport, joined to the
 * client's side by the listener of the same runtime; the core only hands it over, or lets it go.
 */
export interface Tunnel {
  cancel(): void;
}

export type UpstreamFailure =
  | 'resolve'
  | 'connect'
  | 'connect_timeout'
  | 'write_timeout'
  | 'read_timeout'
  | 'reset'
  | 'invalid_response'
  | 'aborted';

/** Why a try failed, and whether the target may have seen the request. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly failure: UpstreamFailure;
  /** False only when not one byte of the request can have been acted upon. */
  readonly maybeProcessed: boolean;
  constructor(failure: UpstreamFailure, maybeProcessed: boolean, cause?: unknown) {
    super(`upstream ${failure}`, { cause });
    this.failure = failure;
    this.maybeProcessed = maybeProcessed;
  }
}

export interface Transport {
  /**
   * Sends one request and answers when the response's head is there.
   * @throws UpstreamError, and nothing else
   */
  send(request: UpstreamRequest): Promise<UpstreamResponse>;
}

/** Where a TCP connection or a UDP session goes. `tls`: TCP with TLS spoken in it. */
export interface StreamUpstream {
  readonly protocol: 'tcp' | 'tls' | 'udp';
  /** As in `UpstreamRequest`. */
  readonly host: string;
  readonly address: string | null;
  readonly port: number;
  readonly connectTimeoutMs: number;
  /** Longest time the upstream may take nothing of what is there for it. */
  readonly writeTimeoutMs: number;
  /** Longest silence, either way. */
  readonly readTimeoutMs: number;
  /** For `tls`; null otherwise. */
  readonly tls: UpstreamTls | null;
  readonly abort: Abort;
}

/** Connects to what is not asked by requests. Node only: a Worker takes nothing but requests. */
export interface StreamTransport {
  /** @throws UpstreamError, and nothing else (as a rejection) */
  connect(upstream: StreamUpstream): Promise<Tunnel>;
}

/** One address that a name stands for. */
export interface ResolvedAddress {
  /** IPv4 or IPv6, without brackets. */
  readonly address: string;
  /** Of an SRV record; null where the name gives none. */
  readonly port: number | null;
  /** Of an SRV record: the name it points to, which this is an address of; null otherwise. */
  readonly name: string | null;
  /** Of an SRV record (0 counts as 1); 1 otherwise. */
  readonly weight: number;
}

export interface Resolution {
  /** Never empty. The same names and records give the same order. */
  readonly addresses: readonly ResolvedAddress[];
  /** On the monotonic clock, ms: from then on it is asked again. */
  readonly expiresAt: number;
}

/** Names to addresses. At the edge there is none: the platform resolves as it connects. */
export interface Resolver {
  /**
   * What is known and current at once, otherwise a promise. Addresses are answered as they stand.
   * @param useSrv  ask for SRV records under this very name first (Kong's `use_srv_name` aside)
   * @throws ResolveError, and nothing else (at once or as a rejection)
   */
  resolve(name: string, useSrv: boolean): MaybePromise<Resolution>;
}

export class ResolveError extends Error {
  override readonly name = 'ResolveError';
}

/** A verified configuration as kept on disk, in KV or in a Durable Object. Text only, as received. */
export interface StoredConfig {
  /** Canonical text of the manifest and its signature, see `shared/config/manifest.ts`. */
  readonly manifest: string;
  readonly signature: string;
  /** Root-signed list of signing keys, and its signature. */
  readonly keyList: string;
  readonly keyListSignature: string;
  /** Tree nodes by their hash (hex), see `shared/config/tree.ts`; a store may answer with more. */
  readonly nodes: NodeTexts;
}

export interface NodeTexts extends ReadonlyMap<string, string> {
  /**
   * Those that a store lacks, for a map that finds them without going through all. A node that is known
   * is known with all that lies below it.
   */
  lacking?(isKnown: (id: string) => boolean): Iterable<readonly [string, string]>;
}

export interface ConfigStore {
  /** The last configuration saved, unverified; null when there is none or it is unreadable. */
  load(): Promise<StoredConfig | null>;
  /** Whole or not at all. */
  save(config: StoredConfig): Promise<void>;
}

/** One message-oriented connection to a control plane. */
export interface Connection {
  send(text: string): void;
  /** Bytes handed to `send` that have not left yet. */
  readonly bufferedBytes: number;
  close(code: number, reason: string): void;
}

export interface ConnectionEvents {
  open(): void;
  message(text: string): void;
  /** Exactly once, also when it never opened. `code` 1006 when the peer just vanished. */
  close(code: number, reason: string): void;
}

export interface Connector {
  /** Starts to connect; everything that follows comes through `events`. */
  open(address: string, events: ConnectionEvents): Connection;
}

/** Counters with a life time, for rate limits. */
export interface CounterStore {
  /** The counter's value, 0 when there is none. */
  read(key: string): MaybePromise<number>;
  /** Adds and answers the new value; the first increment sets when the counter is dropped. */
  increment(key: string, amount: number, expiresAtMs: number): MaybePromise<number>;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  /** One event = one line = a fixed message and fields. Never a secret. */
  log(level: LogLevel, message: string, fields?: JsonObject): void;
}

/** A logger whose level can be changed while the program runs. */
export interface AdjustableLogger extends Logger {
  /** Lines below are dropped. */
  readonly level: LogLevel;
  setLevel(level: LogLevel): void;
}

/** What the request path gets. */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly transport: Transport;
  /** Null: the transport finds the addresses of names. */
  readonly resolver: Resolver | null;
  readonly counters: CounterStore;
  /** For request bodies that are read before they are sent on; null: they are passed on as they come. */
  readonly bodyMemory: BodyMemory | null;
  readonly logger: Logger;
  /** Work that outlives the response: awaited on drain (Node), `waitUntil` (edge). */
  background(work: Promise<unknown>): void;
}
