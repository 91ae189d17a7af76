/** A cluster endpoint in this process, and a peer that says whatever a test wants it to. */
import { createServer, type Server } from 'node:http';
import { type AddressInfo, BlockList } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { WebSocket } from 'ws';
import { must } from '#shared/base/assert.ts';
import { base64url } from '#shared/base/bytes.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Logger, RawKeyPair } from '#shared/platform/platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { parseJoinToken } from '#shared/sync/join-token.ts';
import { signEnrol, signHello } from '#shared/sync/proof.ts';
import { decodeDownFrame } from '#shared/wire/codec.ts';
import type { DownFrame, FrameOf, UpFrame } from '#shared/wire/frames.ts';
import { PROTOCOL_VERSION, SYNC_PATH } from '#shared/wire/protocol.ts';
import { Audit } from '../../cp/access/audit.ts';
import { LEVELS, type Levels } from '../../cp/changes/levels.ts';
import { Publisher } from '../../cp/changes/publisher.ts';
import { ControlPlanes } from '../../cp/cluster/control-planes.ts';
import { NodeIdentities } from '../../cp/nodes/identities.ts';
import { type JoinTokenRequest, JoinTokens } from '../../cp/nodes/join-tokens.ts';
import { NodeRegistry } from '../../cp/nodes/registry.ts';
import { attachSync, type Sync, type SyncOptions } from '../../cp/sync/server.ts';
import type { Db } from '../../cp/store/db.ts';
import type { LogLine } from './fake-platform.ts';
import { silent, type TestStore } from './pglite.ts';

export interface EndpointOptions extends Partial<
  Pick<SyncOptions, 'hosts' | 'handshakesMax' | 'trusted'>
> {
  /** 0: any. */
  readonly port?: number;
  /** Milliseconds; given: one of several control planes, which tells nodes of its address. */
  readonly beatMs?: number;
  /** Of another role than the store's. */
  readonly db?: Db;
  /** Of another release. Default: of this one. */
  readonly levels?: Levels;
  /** Default: a minute, so that only notifications tell of anything. */
  readonly pollMs?: number;
}

export class SyncEndpoint {
  readonly registry: NodeRegistry;
  readonly identities: NodeIdentities;
  readonly tokens: JoinTokens;
  readonly publisher: Publisher;
  readonly sync: Sync;
  readonly logs: LogLine[];
  readonly #server: Server;

  private constructor(
    parts: Pick<SyncEndpoint, 'registry' | 'identities' | 'tokens' | 'publisher' | 'sync' | 'logs'>,
    server: Server,
  ) {
    this.registry = parts.registry;
    this.identities = parts.identities;
    this.tokens = parts.tokens;
    this.publisher = parts.publisher;
    this.sync = parts.sync;
    this.logs = parts.logs;
    this.#server = server;
  }

  static async start(test: TestStore, options: EndpointOptions = {}): Promise<SyncEndpoint> {
    const logs: LogLine[] = [];
    const logger: Logger = {
      log: (level, message, fields = {}) => void logs.push({ level, message, fields }),
    };
    const { store, keyring, epochs } = test;
    const ports = { clock: nodeClock, random: nodeRandom, crypto: nodeCrypto, logger };
    const { port = 0, hosts = [], beatMs, pollMs = 60_000, levels = LEVELS, ...more } = options;
    // Nodes that knew this port are there before the endpoint is.
    const server = createServer((_request, response) => void response.writeHead(503).end());
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const common = { store, keyring, epochs, pollMs, levels, ...ports };
    const registry = new NodeRegistry({ db: options.db ?? store.db, ...ports });
    const identities = new NodeIdentities({ db: store.db, logger });
    const tokens = new JoinTokens({ db: store.db, keyring, ...ports });
    const publisher = new Publisher({ ...common, registry: REGISTRY, logger: silent });
    const planes =
      beatMs === undefined ? null : planesOf(server, { test, registry, beatMs, logger });
    if (planes === null) await takeLease(test, registry);
    else await planes.start();
    publisher.start();
    await publisher.flush();
    const audit = auditOf(test, logger);
    identities.onSecretReplaced(() => publisher.wake());
    const nodes = { registry, identities, tokens, audit, trusted: new BlockList() };
    const sync = await attachSync({ ...common, ...nodes, publisher, planes, hosts, ...more });
    const listener = getRequestListener((request) => sync.pull(request, '127.0.0.1'));
    server.removeAllListeners('request');
    server.on('request', (request, response) => void listener(request, response));
    server.on('upgrade', (request, socket, head) => sync.upgrade(request, socket, head));
    return new SyncEndpoint({ registry, identities, tokens, publisher, sync, logs }, server);
  }

  get port(): number {
    return portOf(this.#server);
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get address(): string {
    return `ws://${this.host}`;
  }

  async token(uses = 1, more: Partial<JoinTokenRequest> = {}): Promise<string> {
    const request = { group: 'default', ttlSeconds: 900, uses, name: null, cidrs: [] };
    const minted = await this.tokens.mint({ ...request, actor: 'test', ...more });
    return must(minted, 'a group of that name').token;
  }

  async close(): Promise<void> {
    await this.publisher.close();
    await this.sync.drain();
    await this.registry.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Others count it as alive, and it does nothing about them. */
async function takeLease({ store }: TestStore, { self }: NodeRegistry): Promise<void> {
  await store.db.query(
    `INSERT INTO control_planes (id, urls, hostname, version, ttl_seconds)
     VALUES ($1, '{}', 'cp.test', '0.0.0', 3600)`,
    [self],
  );
}

function planesOf(
  server: Server,
  at: { test: TestStore; registry: NodeRegistry; beatMs: number; logger: Logger },
): ControlPlanes {
  return new ControlPlanes({
    db: at.test.store.db,
    self: at.registry.self,
    urls: [`ws://127.0.0.1:${portOf(server)}`],
    hostname: 'cp.test',
    clock: nodeClock,
    logger: at.logger,
    beatMs: () => at.beatMs,
  });
}

function auditOf({ store, keyring }: TestStore, logger: Logger): Audit {
  const trusted = new BlockList();
  const more = { days: 90, secretSegments: new Set<string>(), trusted };
  return new Audit({ db: store.db, keys: keyring.rows, clock: nodeClock, logger, ...more });
}

/** What a peer needs of an endpoint, in this process or another. */
export type Reachable = Pick<SyncEndpoint, 'address' | 'host' | 'token'>;

/** One connection of a node, without any of the manners of the real client. */
export class RawPeer {
  readonly frames: DownFrame[] = [];
  /** All that ever came, as it came. */
  received = '';
  readonly #ws: WebSocket;
  readonly #closed: Promise<{ code: number; reason: string }>;
  #wake: () => void = () => {};
  isClosed = false;

  private constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on('message', (data) => {
      this.received += String(data);
      const decoded = decodeDownFrame(String(data));
      if (!decoded.ok) throw new Error(decoded.error);
      this.frames.push(decoded.frame);
      this.#wake();
    });
    ws.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        this.isClosed = true;
        this.#wake();
        resolve({ code, reason: String(reason) });
      });
    });
  }

  /** Resolves when the upgrade succeeded; rejects with the HTTP status when it did not. */
  static async connect(endpoint: Reachable, host?: string): Promise<RawPeer> {
    const headers = host === undefined ? {} : { host };
    const ws = new WebSocket(`${endpoint.address}${SYNC_PATH}`, { headers, maxPayload: 2 ** 26 });
    const peer = new RawPeer(ws);
    await new Promise<void>((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('unexpected-response', (_request, response) => {
        reject(new Error(`status ${response.statusCode} ${response.headers['retry-after'] ?? ''}`));
        ws.terminate();
      });
      ws.once('error', reject);
    });
    return peer;
  }

  send(frame: UpFrame | JsonObject): void {
    this.#ws.send(JSON.stringify(frame));
  }

  sendRaw(data: string | Uint8Array): void {
    this.#ws.send(data);
  }

  /** The next frame of this type; frames before it are passed over. Rejects when closed. */
  async next<T extends DownFrame['type']>(type: T): Promise<FrameOf<T>> {
    for (;;) {
      while (this.frames.length > 0) {
        const frame = this.frames.shift();
        if (frame?.type === type) return frame as FrameOf<T>;
      }
      if (this.isClosed) throw new Error(`closed while waiting for ${type}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  closed(): Promise<{ code: number; reason: string }> {
    return this.#closed;
  }

  close(): void {
    this.#ws.close();
  }
}

/** The keys of a node, and the frames it signs with them. */
export class RawNode {
  readonly signing: RawKeyPair;
  readonly sealing: RawKeyPair;
  id = '';
  joinSeq = 0;

  private constructor(signing: RawKeyPair, sealing: RawKeyPair) {
    this.signing = signing;
    this.sealing = sealing;
  }

  static async make(): Promise<RawNode> {
    return new RawNode(
      await nodeCrypto.generateSigningKey(),
      await nodeCrypto.generateSealingKey(),
    );
  }

  /** A node that has joined; its connection is closed again. */
  static async joined(endpoint: Reachable): Promise<RawNode> {
    const node = await RawNode.make();
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.enrol(peer, endpoint, await endpoint.token()));
    node.take(await peer.next('welcome'));
    peer.send(node.status());
    peer.close();
    await peer.closed();
    return node;
  }

  take(welcome: FrameOf<'welcome'>): void {
    this.id = welcome.node;
    this.joinSeq = welcome.join_seq;
  }

  status(): FrameOf<'status'> {
    const position = { epoch: 0, revision: 0, hash: '' };
    return { type: 'status', join_seq: this.joinSeq, position, last_error: null };
  }

  async enrol(
    peer: RawPeer | { readonly nonce: string },
    endpoint: Reachable,
    token: string,
    change: Partial<FrameOf<'enrol'>> = {},
  ): Promise<FrameOf<'enrol'>> {
    const nonce = peer instanceof RawPeer ? (await peer.next('challenge')).nonce : peer.nonce;
    const parsed = must(parseJoinToken(token), 'a join token');
    const frame = {
      type: 'enrol',
      protocol: PROTOCOL_VERSION,
      token: parsed.id,
      host: endpoint.host,
      nonce,
      public_key: base64url(this.signing.publicKey),
      sealing_key: base64url(this.sealing.publicKey),
      level: 1,
      about: ABOUT,
      ...change,
    } as const;
    const by = { tokenSecret: parsed.secret, privateKey: this.signing.privateKey };
    return signEnrol(frame, by, nodeCrypto);
  }

  async hello(
    peer: RawPeer | { readonly nonce: string },
    endpoint: Reachable,
    change: Partial<FrameOf<'hello'>> = {},
  ): Promise<FrameOf<'hello'>> {
    const nonce = peer instanceof RawPeer ? (await peer.next('challenge')).nonce : peer.nonce;
    const frame = {
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      node: this.id,
      group: 'default',
      host: endpoint.host,
      nonce,
      join_seq: this.joinSeq,
      position: { epoch: 0, revision: 0, hash: '' },
      level: 1,
      about: ABOUT,
      ...change,
    } as const;
    return signHello(frame, this.signing.privateKey, nodeCrypto);
  }
}

export const ABOUT = {
  hostname: 'dp.test',
  version: '0.1.0',
  runtime: 'node',
  labels: { zone: 'a' },
  features: [],
} as const;
