/**
 * A control plane of a few lines for tests of the data plane's side: real keys, real proofs, real
 * trees, and a script of what it gets wrong.
 */
import { must } from '#shared/base/assert.ts';
import { base64url, fromBase64url, hex } from '#shared/base/bytes.ts';
import { signKeyList, signingKeyId } from '#shared/config/key-list.ts';
import { signManifest, type Manifest } from '#shared/config/manifest.ts';
import { makeRecord, type ConfigRecord, type RecordKey } from '#shared/config/record.ts';
import { seal } from '#shared/config/seal.ts';
import { groupSecretInfo } from '#shared/config/secrets.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import type { Crypto, RawKeyPair, Random } from '#shared/platform/platform.ts';
import { formatJoinToken } from '#shared/sync/join-token.ts';
import { verifyEnrol, verifyHello, verifyTokenProof } from '#shared/sync/proof.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { decodeUpFrame } from '#shared/wire/codec.ts';
import type { DownFrame, FrameOf, Position, SignedManifest, UpFrame } from '#shared/wire/frames.ts';
import type { ServerEnd, ServerEvents } from './memory-connection.ts';

export const TEST_WS = '00000000-0000-4000-8000-000000000001';

export function testRecord(id: string, version = 1, placement = id): ConfigRecord {
  return makeRecord(
    { kind: 'routes', ws: TEST_WS, id, placement },
    { id, version },
    must(recordCrypto, 'a cluster was made'),
  );
}
let recordCrypto: Crypto | null = null;

interface NodeRow {
  readonly publicKey: Uint8Array;
  readonly sealingKey: Uint8Array;
  joinSeq: number;
  pending: number | null;
}

export interface Published {
  readonly position: Position;
  readonly tree: ConfigTree;
  readonly head: SignedManifest;
}

export class ScriptedControlPlane {
  readonly cluster: string;
  readonly groupId: string;
  readonly group = 'default';
  readonly root: RawKeyPair;
  readonly signing: RawKeyPair;
  readonly crypto: Crypto;
  readonly #random: Random;
  readonly #tokenSecret: Uint8Array;
  readonly #tokenId: string;
  tokenUses = 1;
  secret: { generation: number; bytes: Uint8Array };
  readonly nodes = new Map<string, NodeRow>();
  readonly history: Published[] = [];
  readonly tokens = new Map<string, string>();
  /** Every frame that nodes sent, in order. */
  readonly heard: UpFrame[] = [];
  /** Join counters that were presented although they had been retired: a clone, or a bug. */
  retired = 0;
  epoch = 1;
  controlPlanes: string[] = [];
  /** Nodes per `shards` frame. */
  shardCount = 8;
  /** Records in a delta; with more of them changed, the manifest is sent. */
  deltaCountMax = Number.POSITIVE_INFINITY;
  keyList: { text: string; signature: string } = { text: '', signature: '' };
  readonly sessions = new Set<ScriptedSession>();

  static async create(crypto: Crypto, random: Random): Promise<ScriptedControlPlane> {
    const root = await crypto.generateSigningKey();
    const signing = await crypto.generateSigningKey();
    const cp = new ScriptedControlPlane(crypto, random, root, signing);
    cp.keyList = await cp.signKeys(1);
    recordCrypto = crypto;
    return cp;
  }

  constructor(crypto: Crypto, random: Random, root: RawKeyPair, signing: RawKeyPair) {
    this.crypto = crypto;
    this.#random = random;
    this.root = root;
    this.signing = signing;
    this.cluster = random.uuid();
    this.groupId = random.uuid();
    this.#tokenId = random.uuid();
    this.#tokenSecret = random.bytes(32);
    this.secret = { generation: 1, bytes: random.bytes(32) };
  }

  get joinToken(): string {
    const token = { id: this.#tokenId, secret: this.#tokenSecret, rootKey: this.root.publicKey };
    return formatJoinToken(token, this.crypto);
  }

  get head(): Published | null {
    return this.history.at(-1) ?? null;
  }

  get pinned(): { cluster: string; groupId: string; rootKey: Uint8Array } {
    return { cluster: this.cluster, groupId: this.groupId, rootKey: this.root.publicKey };
  }

  signKeys(sequence: number): Promise<{ text: string; signature: string }> {
    const key = {
      id: signingKeyId(this.signing.publicKey, this.crypto),
      public_key: base64url(this.signing.publicKey),
      not_before: 0,
      not_after: null,
    };
    const list = { format: 1, cluster: this.cluster, sequence, keys: [key] } as const;
    return signKeyList(list, this.root, this.crypto);
  }

  /** Publishes the next revision and tells who is connected. */
  async publish(
    upserts: readonly ConfigRecord[],
    removals: readonly RecordKey[] = [],
    change: Partial<Manifest> = {},
  ): Promise<Published> {
    const previous = this.head;
    const tree = (previous?.tree ?? ConfigTree.empty(this.crypto)).apply(upserts, removals);
    const manifest: Manifest = {
      format: 1,
      cluster: this.cluster,
      group: this.group,
      group_id: this.groupId,
      epoch: this.epoch,
      revision: (previous?.position.revision ?? 0) + 1,
      level: 1,
      previous: previous?.position.hash ?? '',
      root: tree.hash,
      records: tree.size,
      workspaces: { [TEST_WS]: 1 },
      secret_generation: null,
      created_at: 1_800_000_000,
      control_planes: this.controlPlanes,
      features: [],
      settings: null,
      key_id: signingKeyId(this.signing.publicKey, this.crypto),
      ...change,
    };
    const signed = await signManifest(manifest, this.signing, this.crypto);
    const published: Published = {
      position: {
        epoch: manifest.epoch,
        revision: manifest.revision,
        hash: hex(this.crypto.sha256(signed.manifest)),
      },
      tree,
      head: {
        ...signed,
        key_list: this.keyList.text,
        key_list_signature: this.keyList.signature,
      },
    };
    this.history.push(published);
    for (const session of this.sessions) session.offer();
    return published;
  }

  challenge(nonce: string): FrameOf<'challenge'> {
    return {
      type: 'challenge',
      protocol: 1,
      protocol_min: 1,
      cluster: this.cluster,
      nonce,
      time: 0,
      root_key: base64url(this.root.publicKey),
      key_list: this.keyList.text,
      key_list_signature: this.keyList.signature,
    };
  }

  nonce(): string {
    return base64url(this.#random.bytes(32));
  }

  accept(end: ServerEnd): ServerEvents {
    const session = new ScriptedSession(this, end);
    session.begin();
    return {
      message: (text) => session.receive(text),
      close: () => this.sessions.delete(session),
    };
  }

  async admitHello(frame: FrameOf<'hello'>): Promise<FrameOf<'welcome'> | null> {
    const row = this.nodes.get(frame.node);
    if (row === undefined) return null;
    if (!(await verifyHello(frame, row.publicKey, this.crypto))) return null;
    if (frame.join_seq === row.pending) row.joinSeq = frame.join_seq;
    else if (frame.join_seq !== row.joinSeq) this.retired += 1;
    row.pending = row.joinSeq + 1;
    return this.#welcome(frame.node, row);
  }

  async admitEnrol(frame: FrameOf<'enrol'>): Promise<FrameOf<'welcome'> | null> {
    const verifier = this.crypto.sha256(this.#tokenSecret);
    const publicKey = must(fromBase64url(frame.public_key), 'a key');
    if (frame.token !== this.#tokenId || !verifyTokenProof(frame, verifier, this.crypto))
      return null;
    if (!(await verifyEnrol(frame, publicKey, this.crypto))) return null;
    const known = [...this.nodes].find(([, row]) => base64url(row.publicKey) === frame.public_key);
    if (known !== undefined) return this.#welcome(...known);
    if (this.tokenUses === 0) return null;
    this.tokenUses -= 1;
    const row: NodeRow = {
      publicKey,
      sealingKey: must(fromBase64url(frame.sealing_key), 'a key'),
      joinSeq: 0,
      pending: 1,
    };
    const id = this.#random.uuid();
    this.nodes.set(id, row);
    return this.#welcome(id, row);
  }

  confirm(node: string, joinSeq: number): void {
    const row = this.nodes.get(node);
    if (row === undefined || row.pending !== joinSeq) return;
    row.joinSeq = joinSeq;
    row.pending = null;
  }

  async #welcome(node: string, row: NodeRow): Promise<FrameOf<'welcome'>> {
    const { cluster, groupId, group } = this;
    const { generation, bytes } = this.secret;
    const info = groupSecretInfo({ cluster, groupId, node, generation });
    return {
      type: 'welcome',
      protocol: 1,
      cluster,
      node,
      group,
      group_id: groupId,
      join_seq: must(row.pending ?? row.joinSeq + 1, 'a counter'),
      level: 1,
      ping_interval_ms: 10_000,
      group_secrets: [{ generation, sealed: await seal(row.sealingKey, bytes, info, this.crypto) }],
      control_planes: this.controlPlanes,
    };
  }
}

export class ScriptedSession {
  readonly #cp: ScriptedControlPlane;
  readonly #end: ServerEnd;
  readonly #nonce: string;
  #node = '';
  #position: Position | null = null;
  #offered = '';
  #byManifest = false;
  #work: Promise<void> = Promise.resolve();

  constructor(cp: ScriptedControlPlane, end: ServerEnd, nonce: string = cp.nonce()) {
    this.#cp = cp;
    this.#end = end;
    this.#nonce = nonce;
    cp.sessions.add(this);
  }

  begin(): void {
    this.send(this.#cp.challenge(this.#nonce));
  }

  send(frame: DownFrame): void {
    this.#end.send(JSON.stringify(frame));
  }

  close(code: number, reason = ''): void {
    this.#cp.sessions.delete(this);
    this.#end.close(code, reason);
  }

  /** Resolves when everything received is answered. */
  idle(): Promise<void> {
    return this.#work;
  }

  receive(text: string): void {
    this.#work = this.#work.then(async () => {
      const decoded = decodeUpFrame(text);
      if (!decoded.ok) throw new Error(`a node sent what is no frame: ${decoded.error}`);
      this.#cp.heard.push(decoded.frame);
      await this.#handle(decoded.frame);
    });
  }

  async #handle(frame: UpFrame): Promise<void> {
    switch (frame.type) {
      case 'hello':
      case 'enrol':
        return this.#admit(frame);
      case 'want':
        return this.#shards(frame.ids);
      case 'ack':
        this.#position = frame.position;
        return this.offer();
      case 'nack':
        this.#byManifest = true;
        if (frame.code === 'hash_mismatch') this.#offered = '';
        return this.offer();
      case 'status':
        return this.#cp.confirm(this.#node, frame.join_seq);
      case 'ping':
        return this.send({
          type: 'pong',
          position: this.#cp.head?.position ?? { epoch: 0, revision: 0, hash: '' },
        });
    }
  }

  async #admit(frame: FrameOf<'hello'> | FrameOf<'enrol'>): Promise<void> {
    const cp = this.#cp;
    const welcome =
      frame.nonce !== this.#nonce
        ? null
        : frame.type === 'hello'
          ? await cp.admitHello(frame)
          : await cp.admitEnrol(frame);
    if (welcome === null) return this.close(CLOSE.unauthorized, 'not admitted');
    this.#node = welcome.node;
    this.#position = frame.type === 'hello' ? frame.position : { epoch: 0, revision: 0, hash: '' };
    this.send(welcome);
    this.offer();
  }

  /** Sends the head, as a delta where its base is known. */
  offer(): void {
    const { head, history } = this.#cp;
    const position = this.#position;
    if (head === null || position === null || this.#offered === head.position.hash) return;
    if (position.hash === head.position.hash) return;
    this.#offered = head.position.hash;
    const base = history.find((published) => published.position.hash === position.hash);
    if (base === undefined || this.#byManifest) {
      return this.send({ type: 'manifest', head: head.head });
    }
    const { upserts, removals } = head.tree.diff(base.tree);
    if (upserts.length + removals.length > this.#cp.deltaCountMax) {
      return this.send({ type: 'manifest', head: head.head });
    }
    this.send({
      type: 'delta',
      base: base.position,
      head: head.head,
      upserts: upserts.map(({ text }) => text),
      removals: [...removals],
    });
  }

  #shards(ids: readonly string[]): void {
    const nodes = this.#cp.history.map((published) => published.tree.nodeMap());
    const find = (id: string): string | undefined => nodes.findLast((map) => map.has(id))?.get(id);
    for (let from = 0; from < ids.length; from += this.#cp.shardCount) {
      const batch = ids.slice(from, from + this.#cp.shardCount);
      this.send({
        type: 'shards',
        nodes: batch.flatMap((id) => {
          const text = find(id);
          return text === undefined ? [] : [{ id, text }];
        }),
        missing: batch.filter((id) => find(id) === undefined),
      });
    }
  }
}
