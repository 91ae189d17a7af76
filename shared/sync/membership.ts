/**
 * The node's membership in a cluster: how it proves who it is, what it believes of the other side,
 * and what it keeps of it. A join token buys the first enrolment; after that the node's own key counts.
 */
import { base64url, fromBase64url } from '../base/bytes.ts';
import { verifyKeyList, type KeyList } from '../config/key-list.ts';
import { positionOf, type ReplicaState } from '../config/replica.ts';
import { open } from '../config/seal.ts';
import { SCHEMA_LEVEL } from '../config/levels.ts';
import { DOMAIN, signText } from '../config/signed-text.ts';
import { groupSecretInfo, type GroupSecret } from '../config/secrets.ts';
import type { Crypto, Logger } from '../platform/platform.ts';
import type { About, FrameOf, Position } from '../wire/frames.ts';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN } from '../wire/protocol.ts';
import type { ParamsOf, UpMethods } from '../wire/rpc-methods.ts';
import type {
  IdentityStore,
  NextKeys,
  NodeIdentity,
  PendingIdentity,
  StoredIdentity,
} from './identity.ts';
import { parseJoinToken, type JoinToken } from './join-token.ts';
import { rotationText, signEnrol, signHello } from './proof.ts';
import { verifyRejoin } from './rejoin.ts';

const SECRET_BYTES = 32;
/** Generations of the group's secret that a node keeps. */
const SECRETS_HELD_MAX = 4;

export interface MembershipOptions {
  readonly identities: IdentityStore;
  /** Text of a join token; null when there is none. */
  readonly joinToken: string | null;
  readonly about: About;
  /** Schema level to ask for. Default: the newest that this release reads. */
  readonly level?: () => number;
  readonly crypto: Crypto;
  readonly logger: Logger;
}

export type Proven =
  | { readonly ok: true; readonly frame: FrameOf<'hello'> | FrameOf<'enrol'> }
  | Unproven;
export type Admitted =
  | { readonly ok: true; readonly joinSeq: number; readonly hasNewSecrets: boolean }
  | Unproven;

export interface Unproven {
  readonly ok: false;
  readonly detail: string;
}

/** The control plane's side, as its challenge proved it. */
interface Cluster {
  readonly id: string;
  readonly rootKey: Uint8Array;
  readonly keySequence: number;
  readonly keys: KeyList['keys'];
  /** Of the challenge. */
  readonly nonce: string;
}

export class Membership {
  readonly #options: MembershipOptions;
  #identity: StoredIdentity | null = null;
  #cluster: Cluster | null = null;
  /** What the last challenge was answered with, when not with the identity. */
  #enrolling: Pick<PendingIdentity, 'signing' | 'sealing'> | null = null;
  #mustEnrol = false;
  /** Writes run one after the other, in the order of the calls. */
  #lastSave: Promise<unknown> = Promise.resolve();

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  get #level(): number {
    return this.#options.level?.() ?? SCHEMA_LEVEL;
  }

  /** Null as long as the node has not joined. */
  get identity(): NodeIdentity | null {
    return this.#identity?.tag === 'joined' ? this.#identity : null;
  }

  /** Reads what is kept. A damaged identity is as good as none, and said so. */
  async load(): Promise<void> {
    try {
      this.#identity = await this.#options.identities.load();
    } catch (error) {
      const fields = { error: messageOf(error) };
      this.#options.logger.log('error', 'the identity cannot be read: joining anew', fields);
    }
  }

  /** Checks who challenges, then answers it. */
  async prove(challenge: FrameOf<'challenge'>, host: string, position: Position): Promise<Proven> {
    const { protocol, protocol_min: protocolMin } = challenge;
    if (protocolMin > PROTOCOL_VERSION || protocol < PROTOCOL_VERSION_MIN) {
      return unproven(`no common protocol version: it speaks ${protocolMin} to ${protocol}`);
    }
    const token = parseJoinToken(this.#options.joinToken ?? '');
    const cluster = await this.#recognize(challenge, token);
    if ('detail' in cluster) return cluster;
    this.#cluster = cluster;
    const common = { protocol: Math.min(protocol, PROTOCOL_VERSION), host, nonce: challenge.nonce };
    const { identity } = this;
    this.#enrolling = null;
    if (identity !== null && !(this.#mustEnrol && token !== null)) {
      return { ok: true, frame: await this.#hello(identity, { ...common, position }) };
    }
    if (token === null) return unproven('a join token is needed');
    // Once for every time that it is asked for: if the token is no good, the identity may be again.
    this.#mustEnrol = false;
    const keys =
      identity === null ? await this.#pending(token) : await this.#again(identity, token);
    this.#enrolling = keys;
    return { ok: true, frame: await this.#enrol(token, keys, common) };
  }

  /**
   * A control plane says that this identity was used from elsewhere, or is older than it was.
   *
   * @param reason  of its close
   * @returns whether to come back at once, and enrol anew by the join token
   */
  async rejoin(reason: string): Promise<boolean> {
    const { crypto, joinToken, logger } = this.#options;
    const { identity } = this;
    const cluster = this.#cluster;
    if (identity === null || cluster === null) return false;
    const { node } = identity;
    const asked = { node, nonce: cluster.nonce };
    if (!(await verifyRejoin(reason, asked, cluster.keys, crypto))) return false;
    const hasToken = parseJoinToken(joinToken ?? '') !== null;
    logger.log(
      'error',
      hasToken
        ? 'the identity of this node is in use elsewhere, or was restored: joining again by the token'
        : 'the identity of this node is in use elsewhere, or was restored: it serves what it has; give it a new join token (HEADGATE_JOIN_TOKEN), or have an administrator unlock it',
      { node },
    );
    this.#mustEnrol = hasToken;
    return hasToken;
  }

  /**
   * Another key, kept beside the present one, and the proof of both; null without an identity, or when
   * it cannot be kept. Asked again, the same.
   */
  async nextKey(): Promise<ParamsOf<UpMethods['rotate_key']> | null> {
    const { crypto } = this.#options;
    const { identity } = this;
    if (identity === null || identity.next?.tag === 'enrol') return null;
    const next = identity.next ?? { tag: 'rotate', signing: await crypto.generateSigningKey() };
    const isKept = await this.#keep(() =>
      this.identity === null ? null : { ...this.identity, next },
    );
    if (!isKept) return null;
    const publicKey = base64url(next.signing.publicKey);
    const text = rotationText(identity.node, publicKey);
    return {
      public_key: publicKey,
      by_old: await signText(DOMAIN.rotate, text, identity.signing.privateKey, crypto),
      by_new: await signText(DOMAIN.rotate, text, next.signing.privateKey, crypto),
    };
  }

  /** The control plane knows the other key: from now on it is the one. */
  async adoptKey(): Promise<void> {
    await this.#keep(() => {
      const { identity } = this;
      if (identity?.next?.tag !== 'rotate') return null;
      const { next, ...rest } = identity;
      return { ...rest, signing: next.signing };
    });
  }

  /** Takes what a welcome brings, and keeps it. */
  async join(welcome: FrameOf<'welcome'>): Promise<Admitted> {
    const cluster = this.#cluster;
    const known = this.#identity;
    if (cluster === null || known === null) return unproven('welcome without a challenge');
    if (welcome.cluster !== cluster.id) return unproven('welcome of another cluster');
    const enrolling = this.#enrolling;
    if (known.tag === 'joined' && enrolling === null && welcome.node !== known.node) {
      return unproven('welcome for another node');
    }
    // A group is pinned like a cluster: a false control plane must not talk a node into another.
    if (known.tag === 'joined' && welcome.group_id !== known.groupId) {
      return unproven(`the node was moved to the group ${welcome.group}: it must join again`);
    }
    const { signing, sealing } = enrolling ?? known;
    const opened = await this.#openSecrets(welcome, sealing);
    const previous = known.tag === 'joined' ? known.groupSecrets : [];
    const groupSecrets = mergeSecrets(opened, previous);
    const before = known.tag === 'joined' ? known : null;
    const joined: NodeIdentity = {
      tag: 'joined',
      cluster: cluster.id,
      node: welcome.node,
      group: welcome.group,
      groupId: welcome.group_id,
      rootKey: cluster.rootKey,
      signing,
      sealing,
      // Not yet the new one: presenting a number that was not kept would lose the node.
      joinSeq: enrolling === null ? (before?.joinSeq ?? 0) : 0,
      groupSecrets,
      highWater: before?.highWater ?? { epoch: 0, revision: 0 },
      // Raised by what is saved: a cache under the list before this one must not become useless.
      keySequence: before?.keySequence ?? 0,
      ...(enrolling === null && before?.next ? { next: before.next } : {}),
    };
    // What changed meanwhile stays changed.
    const latest = (): NodeIdentity => ({
      ...joined,
      highWater: this.identity?.highWater ?? joined.highWater,
      keySequence: Math.max(joined.keySequence, this.identity?.keySequence ?? 0),
    });
    const isKept = await this.#keep(() => ({ ...latest(), joinSeq: welcome.join_seq }));
    if (!isKept) this.#identity = latest();
    this.#enrolling = null;
    const joinSeq = isKept ? welcome.join_seq : joined.joinSeq;
    return { ok: true, joinSeq, hasNewSecrets: !isSame(groupSecrets, previous) };
  }

  /** Remembers that this configuration was saved: nothing older is taken ever after. */
  async raiseHighWater(state: ReplicaState): Promise<void> {
    if (this.identity === null) return;
    const { epoch, revision } = positionOf(state);
    await this.#keep(() => {
      const { identity } = this;
      if (identity === null) return null;
      const keySequence = Math.max(identity.keySequence, state.keySequence);
      return { ...identity, highWater: { epoch, revision }, keySequence };
    });
  }

  async #recognize(
    challenge: FrameOf<'challenge'>,
    token: JoinToken | null,
  ): Promise<Cluster | Unproven> {
    const { crypto } = this.#options;
    const { identity } = this;
    const rootKey = fromBase64url(challenge.root_key);
    if (rootKey === null) return unproven('its root key is none');
    const isPinned =
      identity !== null
        ? crypto.timingSafeEqual(rootKey, identity.rootKey)
        : token === null || crypto.timingSafeEqual(crypto.sha256(rootKey), token.rootKeyHash);
    if (!isPinned || (identity !== null && challenge.cluster !== identity.cluster)) {
      return unproven(
        identity === null
          ? 'the join token is of another cluster'
          : 'this node belongs to another cluster: remove its identity to let it join this one',
      );
    }
    const signed = { text: challenge.key_list, signature: challenge.key_list_signature };
    const list = await verifyKeyList(signed, rootKey, crypto);
    if (list === null) return unproven('its key list is not signed by the root key');
    if (list.cluster !== challenge.cluster) return unproven('its key list is of another cluster');
    if (list.sequence < (identity?.keySequence ?? 0)) return unproven('its key list is outdated');
    const { cluster: id, sequence: keySequence, keys } = list;
    return { id, rootKey, keySequence, keys, nonce: challenge.nonce };
  }

  #hello(
    identity: NodeIdentity,
    common: Pick<FrameOf<'hello'>, 'protocol' | 'host' | 'nonce' | 'position'>,
  ): Promise<FrameOf<'hello'>> {
    const { about, crypto } = this.#options;
    const { node, group, joinSeq, signing } = identity;
    return signHello(
      { type: 'hello', ...common, node, group, join_seq: joinSeq, level: this.#level, about },
      signing.privateKey,
      crypto,
    );
  }

  async #enrol(
    token: JoinToken,
    { signing, sealing }: Pick<PendingIdentity, 'signing' | 'sealing'>,
    common: Pick<FrameOf<'enrol'>, 'protocol' | 'host' | 'nonce'>,
  ): Promise<FrameOf<'enrol'>> {
    const { about, crypto } = this.#options;
    return signEnrol(
      {
        type: 'enrol',
        ...common,
        token: token.id,
        public_key: base64url(signing.publicKey),
        sealing_key: base64url(sealing.publicKey),
        level: this.#level,
        about,
      },
      { tokenSecret: token.secret, privateKey: signing.privateKey },
      crypto,
    );
  }

  /**
   * The control plane does not take who asked to join. The keys may be what is wrong: an image with them was
   * started twice, and the other copy has joined. The next request is made with new ones.
   */
  refused(): void {
    if (this.#identity?.tag === 'pending') this.#identity = null;
  }

  /** Kept before the token is spent: asking again with the same keys costs nothing. */
  async #pending(token: JoinToken): Promise<PendingIdentity> {
    const { crypto } = this.#options;
    if (this.#identity?.tag === 'pending' && this.#identity.token === token.id) {
      return this.#identity;
    }
    const pending: PendingIdentity = {
      tag: 'pending',
      token: token.id,
      signing: await crypto.generateSigningKey(),
      sealing: await crypto.generateSealingKey(),
    };
    if (!(await this.#keep(() => pending))) this.#identity = pending;
    return pending;
  }

  /** New keys beside the old identity, which goes on counting until they are welcomed. */
  async #again(
    identity: NodeIdentity,
    token: JoinToken,
  ): Promise<Extract<NextKeys, { tag: 'enrol' }>> {
    const { crypto } = this.#options;
    const { next } = identity;
    if (next?.tag === 'enrol' && next.token === token.id) return next;
    const made = {
      tag: 'enrol',
      token: token.id,
      signing: await crypto.generateSigningKey(),
      sealing: await crypto.generateSealingKey(),
    } as const;
    await this.#keep(() => (this.identity === null ? null : { ...this.identity, next: made }));
    return made;
  }

  async #openSecrets(
    welcome: FrameOf<'welcome'>,
    sealing: NodeIdentity['sealing'],
  ): Promise<GroupSecret[]> {
    const { crypto, logger } = this.#options;
    const { cluster, node, group_id: groupId } = welcome;
    const opened = await Promise.all(
      welcome.group_secrets.map(async (entry) => {
        const { generation, sealed } = entry ?? { generation: 0, sealed: '' };
        const info = groupSecretInfo({ cluster, groupId, node, generation });
        const secret = await open(sealing.privateKey, sealed, info, crypto);
        return secret?.length === SECRET_BYTES ? { generation, secret } : null;
      }),
    );
    const secrets = opened.filter((secret) => secret !== null);
    if (secrets.length < welcome.group_secrets.length) {
      logger.log('error', 'a secret of the group cannot be opened', { node, group: welcome.group });
    }
    return secrets.toSorted((a, b) => b.generation - a.generation);
  }

  /**
   * Writes what `make` answers when it is its turn, and only then believes it. False when it could not
   * be written; then nothing has changed.
   */
  async #keep(make: () => StoredIdentity | null): Promise<boolean> {
    const previous = this.#lastSave;
    const save = (async () => {
      await previous;
      const identity = make();
      if (identity === null) return;
      await this.#options.identities.save(identity);
      this.#identity = identity;
    })();
    this.#lastSave = save.catch(() => {});
    try {
      await save;
      return true;
    } catch (error) {
      const fields = { error: messageOf(error) };
      this.#options.logger.log('error', 'the identity cannot be written', fields);
      return false;
    }
  }
}

/** Earlier ones stay for a while: what is served now was made with one of them. */
function mergeSecrets(
  told: readonly GroupSecret[],
  held: readonly GroupSecret[],
): readonly GroupSecret[] {
  const isTold = ({ generation }: GroupSecret): boolean =>
    told.some((secret) => secret.generation === generation);
  return [...told, ...held.filter((secret) => !isTold(secret))]
    .toSorted((a, b) => b.generation - a.generation)
    .slice(0, SECRETS_HELD_MAX);
}

function unproven(detail: string): Unproven {
  return { ok: false, detail };
}

function isSame(a: readonly GroupSecret[], b: readonly GroupSecret[]): boolean {
  const textOf = (secrets: readonly GroupSecret[]): string =>
    secrets.map(({ generation, secret }) => `${generation}:${base64url(secret)}`).join();
  return textOf(a) === textOf(b);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
