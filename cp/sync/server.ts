/**
 * The cluster endpoint for any HTTP server: WebSocket for data planes that stay, HTTPS pull for those
 * that cannot, both over the same session machine. Never open: before a peer has proved who it is,
 * nothing but a challenge goes out, and an unproven peer costs a bounded place for five seconds.
 */
import type { IncomingMessage } from 'node:http';
import type { BlockList } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import type { Clock, Crypto, Logger, Random } from '#shared/platform/platform.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import type { FrameOf } from '#shared/wire/frames.ts';
import {
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_MIN,
  PULL_PATH,
  SYNC_PATH,
  UP_FRAME_LENGTH_MAX,
} from '#shared/wire/protocol.ts';
import type { Levels } from '../changes/levels.ts';
import type { Publisher } from '../changes/publisher.ts';
import type { Period } from '../cluster/pace.ts';
import type { Epochs } from '../cluster/epochs.ts';
import type { ControlPlanes } from '../cluster/control-planes.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { Db } from '../store/db.ts';
import type { Store } from '../store/store.ts';
import { forwardedFor } from '../access/forwarded.ts';
import type { NodeIdentities } from '../nodes/identities.ts';
import type { JoinTokens } from '../nodes/join-tokens.ts';
import { certificateExpiry } from '../tls/client-certificates.ts';
import { Authenticator } from './authenticator.ts';
import { Enrolment, type EnrolmentAudit } from './enrolment.ts';
import type { NodeCalls } from '../nodes/node-calls.ts';
import { Hub } from './hub.ts';
import { PullNonces, sessionNonce } from './nonce.ts';
import { createPull } from './pull.ts';
import { Session, type Socket } from './runner.ts';

/** Peers that may be greeting at once; the rest is told to come back. */
export const HANDSHAKES_MAX = 64;
/** Sessions of one control plane; beyond it nodes go elsewhere. */
export const SESSIONS_MAX = 10_000;
const FRAGMENTS_MAX = 64;
const BUFFERED_CHUNKS_MAX = 1_024;
/** Seconds to stay away, at least; as many again by chance, so that they do not come back together. */
const RETRY_AFTER_S = 1;
const DRAIN_RETRY_MS = 1_000;
/** Longest wait for closing handshakes while draining. */
const DRAIN_MAX_MS = 2_000;
/** A peer that does not answer our close is cut off: it may have gone without a word. */
const CLOSE_MAX_MS = 2_000;
/** Apart, because the package's types do not know it yet. */
const ENDING = { closeTimeout: CLOSE_MAX_MS };
/** Longest close reason that fits a close frame. RFC 6455, 5.5: 125 bytes with the code. */
const REASON_BYTES_MAX = 123;

export interface SyncOptions {
  readonly store: Store;
  /** Of the role that has no more rights than sessions need; not given: the store's. */
  readonly db?: Db;
  readonly keyring: Keyring;
  readonly registry: NodeRegistry;
  readonly identities: NodeIdentities;
  readonly tokens: JoinTokens;
  /** Null: refused enrolments are only logged. */
  readonly audit: EnrolmentAudit | null;
  /** Terminators whose `X-Forwarded-For` is believed. */
  readonly trusted: BlockList;
  /** Default: those of this release. */
  readonly levels?: Levels;
  /** Null where this process does not publish: then the poll finds what others publish. */
  readonly publisher: Publisher | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly logger: Logger;
  /** `HEADGATE_CLUSTER_HOSTS` */
  readonly hosts: readonly string[];
  /** Not given: what nodes hold is not compared with what was published. */
  readonly epochs?: Epochs;
  /** Null or not given: this control plane knows of no others. */
  readonly planes?: ControlPlanes | null;
  /** `HEADGATE_POLL_SECONDS` in milliseconds. */
  readonly pollMs: Period;
  /** Default `HANDSHAKES_MAX`. */
  readonly handshakesMax?: number;
}

export interface Sync {
  /** For `server.on('upgrade', …)`; paths without the prefix of a shared port. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** `GET` and `POST` of `PULL_PATH`; 404 for anything else. `ip`: the peer's address. */
  pull(request: Request, ip?: string): Promise<Response>;
  /** Sends every node elsewhere and takes no more; resolves when they are gone. */
  drain(): Promise<void>;
  /** Asks nodes, whichever control plane they are connected to. */
  readonly calls: NodeCalls;
  /** Nodes connected to this process. */
  readonly sessionCount: number;
}

/** What sessions need of this process, whatever carries them. */
export interface OpenHub {
  readonly hub: Hub;
  /** What a peer is greeted with. */
  challenge(nonce: string): FrameOf<'challenge'>;
  readonly stopPublished: (() => void) | undefined;
}

export async function openHub(
  options: Omit<SyncOptions, 'trusted' | 'handshakesMax'>,
): Promise<OpenHub> {
  const { store, registry, publisher, identities, clock, random, crypto, logger, pollMs } = options;
  const { planes = null, epochs = null } = options;
  const { db = store.db } = options;
  const { self } = registry;
  const enrolment = new Enrolment({ ...options, db, self });
  const authenticator = new Authenticator({ ...options, db, enrolment, planes, self });
  const ports = { clock, random, crypto, logger };
  const { keyring } = options;
  const parts = { registry, authenticator, identities, keyring, epochs, planes };
  const hub = new Hub({ db, ...parts, ...ports, pollMs });
  await hub.start();
  const stopPublished = publisher?.onPublished((group) => hub.published(group));
  return { hub, challenge: (nonce) => challengeFrame(options, nonce), stopPublished };
}

export async function attachSync(options: SyncOptions): Promise<Sync> {
  const { crypto, logger, planes = null } = options;
  const { hub, challenge, stopPublished } = await openHub(options);
  const nonces = new PullNonces({ ...options, key: pullKey(options.keyring, crypto) });
  const pull = createPull({ hub, nonces, challenge, logger });
  const endpoint = new Endpoint(hub, options, challenge);
  return {
    upgrade: (request, socket, head) => endpoint.upgrade(request, socket, head),
    pull: async (request, ip) => {
      if (new URL(request.url).pathname !== PULL_PATH) return new Response(null, { status: 404 });
      if (endpoint.isDraining) return unavailable(RETRY_AFTER_S);
      const peer = ip ?? '';
      const header = request.headers.get('x-forwarded-for');
      return pull(request, forwardedFor(header, peer, options.trusted) ?? peer);
    },
    drain: async () => {
      stopPublished?.();
      // The others as they are now: that is where the nodes are sent.
      await planes?.stop();
      await endpoint.drain();
      await hub.close();
    },
    calls: hub.calls,
    get sessionCount() {
      return hub.sessionCount;
    },
  };
}

/** The zero group belongs to nobody, so its secret is the cluster's own. */
const CLUSTER_GROUP = '00000000-0000-0000-0000-000000000000';

function pullKey(keyring: Keyring, crypto: Crypto): Uint8Array {
  return crypto.hmac(keyring.groupSecret(CLUSTER_GROUP, 0), 'headgate-pull-key-v1');
}

function challengeFrame(
  { keyring, clock }: Pick<SyncOptions, 'keyring' | 'clock'>,
  nonce: string,
): FrameOf<'challenge'> {
  return {
    type: 'challenge',
    protocol: PROTOCOL_VERSION,
    protocol_min: PROTOCOL_VERSION_MIN,
    cluster: keyring.clusterId,
    nonce,
    time: Math.floor(clock.now()),
    root_key: keyring.rootPublicKey,
    key_list: keyring.keyList.text,
    key_list_signature: keyring.keyList.signature,
  };
}

class Endpoint {
  readonly #hub: Hub;
  readonly #options: SyncOptions;
  readonly #challenge: (nonce: string) => FrameOf<'challenge'>;
  readonly #server: WebSocketServer;
  readonly #sockets = new Set<WebSocket>();
  isDraining = false;

  constructor(hub: Hub, options: SyncOptions, challenge: (nonce: string) => FrameOf<'challenge'>) {
    this.#hub = hub;
    this.#options = options;
    this.#challenge = challenge;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: UP_FRAME_LENGTH_MAX,
      ...ENDING,
      maxFragments: FRAGMENTS_MAX,
      maxBufferedChunks: BUFFERED_CHUNKS_MAX,
    });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== SYNC_PATH) return refuse(socket, '404 Not Found', null);
    const ip = this.#addressOf(request);
    if (this.isDraining || this.#isFull(ip)) {
      const { random } = this.#options;
      const seconds = RETRY_AFTER_S + Math.round(random.next() * RETRY_AFTER_S);
      return refuse(socket, '503 Service Unavailable', seconds);
    }
    this.#server.handleUpgrade(request, socket, head, (ws) => this.#open(ws, request, ip));
  }

  async drain(): Promise<void> {
    this.isDraining = true;
    this.#hub.drain(DRAIN_RETRY_MS);
    const open = [...this.#sockets];
    const closed = open.map((ws) => new Promise((resolve) => ws.once('close', resolve)));
    const cancel = this.#options.clock.setTimer(DRAIN_MAX_MS, () => {
      for (const ws of this.#sockets) ws.terminate();
    });
    await Promise.all(closed);
    cancel();
  }

  #isFull(ip: string): boolean {
    if (this.#hub.sessionCount >= SESSIONS_MAX) return true;
    const handshakesMax = this.#options.handshakesMax ?? HANDSHAKES_MAX;
    return this.#hub.greetingCount >= handshakesMax && !this.#hub.makeRoom(ip);
  }

  #addressOf(request: IncomingMessage): string {
    const address = request.socket.remoteAddress ?? '';
    const forwarded = [request.headers['x-forwarded-for'] ?? []].flat().join(',');
    return forwardedFor(forwarded || null, address, this.#options.trusted) ?? address;
  }

  #open(ws: WebSocket, request: IncomingMessage, ip: string): void {
    this.#sockets.add(ws);
    const peer = {
      hostHeader: request.headers.host ?? '',
      ip,
      certificateExpiry: certificateExpiry(request),
    };
    const session = new Session(this.#hub, socketOf(ws), peer);
    this.#hub.add(session);
    ws.on('message', (data, isBinary) => session.receive(isBinary ? null : textOf(data)));
    // A broken frame or connection: `close` follows, which is all there is to do.
    ws.on('error', () => {});
    ws.on('close', () => {
      this.#sockets.delete(ws);
      session.dispatch({ type: 'closed' });
    });
    session.open(this.#challenge(sessionNonce(this.#options.random)));
  }
}

function socketOf(ws: WebSocket): Socket {
  return {
    send(bytes, sent) {
      ws.send(bytes, { binary: false }, () => sent?.());
    },
    get bufferedBytes() {
      return ws.bufferedAmount;
    },
    close(code, reason) {
      ws.close(code, reasonOf(reason));
      // What waits to be sent would still go out before the farewell.
      if (code === CLOSE.revoked && ws.bufferedAmount > 0) ws.terminate();
    },
  };
}

/** As much of it as fits: some of it may be what the node said, in any script. */
function reasonOf(text: string): Buffer {
  const { written } = new TextEncoder().encodeInto(text, REASON);
  return Buffer.from(REASON.subarray(0, written));
}

const REASON = new Uint8Array(REASON_BYTES_MAX);

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return Buffer.isBuffer(data) ? data.toString('utf8') : Buffer.from(data).toString('utf8');
}

function unavailable(retryAfterS: number): Response {
  return new Response(null, { status: 503, headers: { 'retry-after': String(retryAfterS) } });
}

/** Answers an upgrade that does not become a session. */
function refuse(socket: Duplex, status: string, retryAfterS: number | null): void {
  const retry = retryAfterS === null ? '' : `Retry-After: ${retryAfterS}\r\n`;
  socket.on('error', () => {});
  socket.end(`HTTP/1.1 ${status}\r\n${retry}Connection: close\r\nContent-Length: 0\r\n\r\n`);
}
