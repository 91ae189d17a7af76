/**
 * The live sessions of this control plane, and what they are told. Postgres is asked once per
 * revision, not once per node; every frame's bytes exist once, whoever gets them.
 */
import { base64url } from '#shared/base/bytes.ts';
import { NOWHERE } from '#shared/config/replica.ts';
import type { Clock, Crypto, Logger, Random } from '#shared/platform/platform.ts';
import { freshnessText, type FreshnessProof } from '#shared/sync/freshness.ts';
import { RpcRefusal, type Handlers } from '#shared/sync/rpc.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import type { ParamsOf, UpMethods } from '#shared/wire/rpc-methods.ts';
import { PUBLISHED_CHANNEL } from '../changes/publication.ts';
import { Balancer, placesToGo } from '../cluster/balance.ts';
import type { ControlPlanes, Peer } from '../cluster/control-planes.ts';
import type { Epochs } from '../cluster/epochs.ts';
import { msOf, type Period } from '../cluster/pace.ts';
import type { Keyring } from '../keys/keyring.ts';
import { ERROR_LENGTH_MAX, type LiveNode } from '../nodes/live-node.ts';
import { NodeCalls } from '../nodes/node-calls.ts';
import { SharedCounters } from '../nodes/shared-counters.ts';
import {
  HEALTH_CHANNEL,
  readSaidHealth,
  type NodeRegistry,
  type SaidHealth,
} from '../nodes/registry.ts';
import type { Db } from '../store/db.ts';
import { type Ending, type NodeIdentities, RENEW_CHANNEL } from '../nodes/identities.ts';
import { askerOf } from './ask-nodes.ts';
import type { Authenticator, Expected } from './authenticator.ts';
import { Claims } from './claims.ts';
import { Endings } from './endings.ts';
import {
  comparePositions,
  emptyFeed,
  extendFeed,
  type Feed,
  type FeedKey,
  feedName,
  isOf,
} from './feed.ts';
import { loadPublished } from './feed-source.ts';
import { Greeters } from './greeters.ts';
import { NodeCache, type Shards } from './node-cache.ts';
import type { Session, SessionHost } from './runner.ts';
import { TakeoverWatch } from './takeovers.ts';
import type { Admission, Member, Report } from './session.ts';
import { Slots } from '../slots.ts';
import { WantBudget } from './want-budget.ts';

const TICK_MS = 1_000;
/** `shards` frames on their way at once: bounds memory when all nodes come back together. */
const SHARD_FRAMES_MAX = 32;
/** What was compared with the database within so many polls, and a second, is current. */
const CURRENT_POLLS = 1.5;
const CURRENT_SLACK_MS = 1_000;
/** A node that is sent elsewhere waits so long at most. */
const MOVE_RETRY_MS_MAX = 1_000;

export interface HubOptions {
  readonly db: Db;
  readonly registry: NodeRegistry;
  readonly authenticator: Authenticator;
  readonly identities: NodeIdentities;
  readonly keyring: Pick<Keyring, 'clusterId' | 'rootPublicKey' | 'keyList' | 'sign'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly logger: Logger;
  /** Null: what nodes hold is not compared with what was published. */
  readonly epochs: Epochs | null;
  /** Null: this control plane knows of no others. */
  readonly planes: ControlPlanes | null;
  /** `HEADGATE_POLL_SECONDS` in milliseconds. */
  readonly pollMs: Period;
}

export class Hub implements SessionHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly shardSlots = new Slots(SHARD_FRAMES_MAX);
  readonly #options: HubOptions;
  readonly #nodes: NodeCache;
  readonly #feeds = new Map<string, Feed>();
  /** When the database was last asked for a group's head, and answered. Monotonic. */
  readonly #readAt = new Map<string, number>();
  /** Reads of a group's revisions: the one under way, and the one after it. */
  readonly #loading = new Map<string, Promise<Feed>>();
  readonly #queued = new Map<string, Promise<Feed>>();
  readonly #sessions = new Set<Session>();
  readonly #greeting = new Greeters();
  readonly #byNode = new Map<string, Session>();
  readonly #live = new Map<Session, LiveNode>();
  /** What nodes said at first that they hold; they answer nothing before they have joined. */
  readonly #claimed = new Map<Session, Position>();
  readonly #claims: Claims;
  readonly #wants: WantBudget;
  readonly #balancer = new Balancer();
  readonly #stops: (() => unknown)[] = [];
  readonly #endings: Endings;
  readonly #counters: SharedCounters;
  /** Asks nodes, of this control plane and of others. */
  readonly calls: NodeCalls;
  readonly #takeovers: TakeoverWatch;
  #isClosed = false;

  constructor(options: HubOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.logger = options.logger;
    this.#nodes = new NodeCache(options.db);
    this.#claims = new Claims(options);
    this.#counters = new SharedCounters(options);
    this.calls = new NodeCalls({ ...options, self: options.registry.self });
    this.#wants = new WantBudget(options.clock);
    const end = (node: string, ending: Ending): void => {
      this.#byNode.get(node)?.dispatch({ type: 'end', reason: ending });
    };
    this.#endings = new Endings({ ...options, end });
    const session = (node: string): Session | undefined => this.#byNode.get(node);
    this.#takeovers = new TakeoverWatch({ ...options, self: options.registry.self, session });
  }

  async start(): Promise<void> {
    const { db, pollMs, planes } = this.#options;
    planes?.counting(() => this.#live.size);
    if (planes !== null) this.#stops.push(planes.onBeat((peers) => this.#balance(peers)));
    this.#every(TICK_MS, () => this.#tick());
    this.#every(pollMs, () => this.#poll());
    this.#stops.push(...(await this.#endings.start()), await this.#takeovers.start());
    this.#stops.push(await db.listen(RENEW_CHANNEL, (node) => this.#renewKey(node)));
    await this.calls.start(askerOf(this.#byNode));
    this.#stops.push(
      () => this.calls.close(),
      () => this.#counters.close(),
    );
    this.#stops.push(await db.listen(PUBLISHED_CHANNEL, (group) => this.published(group)));
    this.#stops.push(await db.listen(HEALTH_CHANNEL, (text) => this.#heardHealth(text)));
  }

  /** Sessions that are not closed, greeting or live. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Sessions whose peer has not proved anything yet. */
  get greetingCount(): number {
    return this.#greeting.size;
  }

  /** One of them goes for a peer from `ip`. @returns false when all have a right to be there */
  makeRoom(ip: string): boolean {
    return this.#greeting.makeRoom(ip, this.clock.monotonic());
  }

  add(session: Session): void {
    this.#sessions.add(session);
    this.#greeting.add(session);
  }

  /** A hint that a group has a new revision; an empty id: any of them. */
  published(groupId: string): void {
    for (const feed of this.#feeds.values()) {
      if (groupId === '' || feed.groupId === groupId) this.#background(this.#refresh(feed));
    }
  }

  admit(frame: FrameOf<'hello'> | FrameOf<'enrol'>, expected: Expected): Promise<Admission> {
    return this.#options.authenticator.admit(frame, expected);
  }

  async feed(key: FeedKey): Promise<Feed> {
    const known = this.#feeds.get(feedName(key));
    const isKnown = known !== undefined && known.head !== null && this.isCurrent(key);
    return isKnown ? known : this.#refresh(key);
  }

  isCurrent(key: FeedKey): boolean {
    const askedMs = this.#readAt.get(feedName(key)) ?? Number.NEGATIVE_INFINITY;
    const limitMs = msOf(this.#options.pollMs) * CURRENT_POLLS + CURRENT_SLACK_MS;
    return this.clock.monotonic() - askedMs <= limitMs;
  }

  shards(groupId: string, ids: readonly string[]): Promise<Shards> {
    return this.#nodes.frame(groupId, ids);
  }

  joined(session: Session, member: Member, position: Position): void {
    const { node: id, groupId, level, about } = member;
    this.#greeting.delete(session);
    const older = this.#byNode.get(id);
    this.#byNode.set(id, session);
    const { registry } = this.#options;
    const { ip, certificateExpiry } = session;
    this.#live.set(
      session,
      registry.connected({ id, groupId, ip, about, level, certificateExpiry, position }),
    );
    if (older !== undefined) this.#takeovers.over(older);
    const ending = this.endingOf(id);
    if (ending !== null) return session.dispatch({ type: 'end', reason: ending });
    if (position.revision > 0) this.#claimed.set(session, position);
    // A revision that came while it was being admitted was not told to it.
    const feed = this.#feeds.get(feedName(member));
    if (feed === undefined) this.#background(this.#refresh(member));
    else session.head(feed);
    this.logger.log('info', 'data plane connected', { node: member.node, group: member.group });
  }

  /** Why the node is to be sent away, if it was let in a moment too late. */
  endingOf(nodeId: string): Ending | null {
    return this.#endings.recent(nodeId);
  }

  methods(member: () => Member | null): Handlers<UpMethods> {
    return {
      freshness: (asked) => this.proveFreshness(asked, member()),
      counters: (asked) => {
        const groupId = member()?.groupId;
        if (groupId === undefined) throw new RpcRefusal('the node has not joined');
        return this.#counters.add(groupId, asked);
      },
      rotate_key: async (asked) => {
        const node = member()?.node ?? '';
        if (await this.#options.authenticator.rotateKey(node, asked)) return {};
        throw new RpcRefusal('not signed by both keys');
      },
    };
  }

  /**
   * Signs what the head of the node's group is. The database is asked only for who must know it more
   * exactly than the last poll told, and once for all who ask at the same time.
   *
   * @throws when the database cannot be asked: then there is nothing to prove
   */
  async proveFreshness(
    { nonce, max_age_ms: maxAgeMs }: ParamsOf<UpMethods['freshness']>,
    member: Member | null,
  ): Promise<FreshnessProof> {
    if (member === null) throw new RpcRefusal('the node has not joined');
    const { groupId } = member;
    const name = feedName(member);
    const isOld = this.clock.monotonic() - (this.#readAt.get(name) ?? 0) > maxAgeMs;
    const known = this.#feeds.get(name);
    const feed = isOld || known === undefined ? await this.#refresh(member) : known;
    const { keyring } = this.#options;
    const statement = freshnessText({
      cluster: keyring.clusterId,
      group_id: groupId,
      ...(feed.head?.position ?? NOWHERE),
      nonce,
      age_ms: Math.ceil(this.clock.monotonic() - (this.#readAt.get(name) ?? 0)),
    });
    return {
      statement: statement.text,
      signature: base64url(await keyring.sign(statement.bytes)),
      key_list: keyring.keyList.text,
      key_list_signature: keyring.keyList.signature,
    };
  }

  async confirmJoin(node: string, joinSeq: number): Promise<void> {
    await this.#options.authenticator.confirmJoin(node, joinSeq);
    // Not sooner: a node answers nothing before it has joined.
    if (this.#byNode.get(node)?.member?.isKeyOld === true) this.#renewKey(node);
  }

  mayWant(member: Member, count: number): boolean {
    const records = this.#feeds.get(feedName(member))?.head?.records ?? 0;
    return this.#wants.spend(member.node, count, records);
  }

  report(session: Session, member: Member, report: Report): void {
    if (report.type === 'status') this.#heardStatus(session, member);
    const live = this.#live.get(session);
    if (live !== undefined) this.#options.registry.report(live, report);
    if (report.type === 'applied') {
      this.logger.log('debug', 'applied', {
        node: member.node,
        revision: report.position.revision,
      });
    }
    if (report.type !== 'refused') return;
    const { entity } = report;
    this.logger.log('error', 'data plane refused a revision', {
      node: member.node,
      revision: report.position.revision,
      code: report.code,
      detail: report.detail.slice(0, ERROR_LENGTH_MAX),
      entity: entity === null ? null : `${entity.kind} ${entity.id}`.slice(0, ERROR_LENGTH_MAX),
    });
  }

  /** It was let in for an exchange, and stays with nobody. */
  pulled(member: Member): void {
    this.#background(this.#options.registry.pulled(member.node));
  }

  /** From an exchange without a connection: written at once, nothing is kept in memory. */
  reportPulled(member: Member, report: Report): void {
    this.#background(this.#options.registry.reportPulled(member.node, report));
  }

  /** Another control plane may have published it; if none did, the database lost it, see `Claims`. */
  ahead(member: Member, position: Position): void {
    this.#background(this.#checkAhead(member, position));
  }

  closed(session: Session, member: Member | null): void {
    this.#sessions.delete(session);
    this.#greeting.delete(session);
    this.#claimed.delete(session);
    const live = this.#live.get(session);
    if (live === undefined || member === null) return;
    this.#live.delete(session);
    this.#options.registry.disconnected(live);
    if (this.#byNode.get(member.node) === session) this.#byNode.delete(member.node);
    this.logger.log('info', 'data plane disconnected', { node: member.node });
  }

  /** Asks every node to go elsewhere; their sessions end with it. */
  drain(retryAfterMs: number): void {
    for (const session of this.#sessions) this.#sendAway(session, retryAfterMs, 0);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const stop of this.#stops.splice(0)) await stop();
  }

  #every(period: Period, fn: () => void): void {
    const arm = (): (() => void) =>
      this.clock.setTimer(msOf(period), () => {
        fn();
        if (!this.#isClosed) cancel = arm();
      });
    let cancel = arm();
    this.#stops.push(() => cancel());
  }

  #tick(): void {
    for (const session of this.#sessions) session.tick();
  }

  /** The net under lost notifications. */
  #poll(): void {
    this.#dropIdleFeeds();
    this.published('');
    if (this.#byNode.size > 0) this.#background(this.#endings.look());
  }

  #dropIdleFeeds(): void {
    const used = new Set(
      [...this.#sessions].map(({ member }) => (member === null ? null : feedName(member))),
    );
    for (const name of this.#feeds.keys()) {
      if (used.has(name)) continue;
      this.#feeds.delete(name);
      this.#readAt.delete(name);
    }
  }

  /** Some of the nodes, when others have fewer: those of longest standing, which have settled. */
  #balance(peers: readonly Peer[]): void {
    const own = this.#live.size;
    const count = this.#balancer.round(own, peers);
    if (count === 0 || this.#isClosed) return;
    this.logger.log('info', 'sending data planes elsewhere', { count, connected: own });
    const chosen = [...this.#live.keys()].slice(0, count);
    const { random } = this.#options;
    for (const session of chosen) {
      this.#sendAway(session, Math.floor(random.next() * MOVE_RETRY_MS_MAX), own);
    }
  }

  #sendAway(session: Session, retryAfterMs: number, own: number): void {
    const { planes, random } = this.#options;
    const controlPlanes = placesToGo(own, planes?.peers ?? [], random);
    session.dispatch({ type: 'drain', retryAfterMs, controlPlanes });
  }

  #renewKey(nodeId: string): void {
    void this.#byNode.get(nodeId)?.ask('renew_key', {});
  }

  /** What somebody said of a target, on this control plane or another. */
  #heardHealth(text: string): void {
    const said = readSaidHealth(text);
    if (said !== null) this.#background(this.#tellHealth(said));
  }

  /** To the nodes that serve the workspace, and no others: they know nothing of it. */
  async #tellHealth(said: SaidHealth): Promise<void> {
    const { rows } = await this.#options.db.query<{ id: string }>(
      'SELECT id FROM groups WHERE $1::uuid = ANY(workspaces)',
      [said.ws],
    );
    const groups = new Set(rows.map(({ id }) => id));
    for (const session of this.#byNode.values()) {
      if (!groups.has(session.member?.groupId ?? '')) continue;
      void session.ask('target_health', said);
    }
  }

  /** One query at a time per group; hints that arrive during one share the next. */
  #refresh(key: FeedKey): Promise<Feed> {
    const name = feedName(key);
    const queued = this.#queued.get(name);
    if (queued !== undefined) return queued;
    const loading = this.#loading.get(name);
    if (loading === undefined) return this.#load(key);
    const next = loading
      .catch(() => null)
      .then(() => {
        this.#queued.delete(name);
        return this.#load(key);
      });
    this.#queued.set(name, next);
    return next;
  }

  #load(key: FeedKey): Promise<Feed> {
    const name = feedName(key);
    const work = this.#loadFeed(key).finally(() => this.#loading.delete(name));
    this.#loading.set(name, work);
    return work;
  }

  async #loadFeed(key: FeedKey): Promise<Feed> {
    const name = feedName(key);
    const feed = this.#feeds.get(name) ?? emptyFeed(key);
    const askedAt = this.clock.monotonic();
    const added = await loadPublished(this.#options.db, key, feed.head?.position ?? null);
    this.#readAt.set(name, askedAt);
    const next = extendFeed(feed, added);
    this.#feeds.set(name, next);
    if (next === feed) return next;
    if (next.head !== null) {
      this.#options.epochs?.witness.saw(key.groupId, next.head.position);
      this.#options.registry.published(key.groupId, next.head.position);
      // A new epoch: the database is not what it was, and may have lost what was written of nodes.
      const before = feed.head?.position.epoch ?? next.head.position.epoch;
      if (before !== next.head.position.epoch) this.#options.registry.writeAgain(key.groupId);
    }
    for (const session of this.#byNode.values()) {
      if (session.member !== null && feedName(session.member) === name) session.head(next);
    }
    return next;
  }

  /** The first of a session: it has joined. */
  #heardStatus(session: Session, member: Member): void {
    const position = this.#claimed.get(session);
    if (!this.#claimed.delete(session) || position === undefined) return;
    this.#background(this.#recognize(session, member, position));
  }

  /** Most nodes hold the head, or what came shortly before: nothing is asked for those. */
  async #recognize(session: Session, member: Member, position: Position): Promise<void> {
    const known = await this.feed(member);
    const isAhead = comparePositions(position, known.head?.position) > 0;
    const feed = isAhead ? await this.#refresh(member) : known;
    if (!isOf(feed, position)) await this.#claims.settle(session, member, position);
  }

  async #checkAhead(member: Member, position: Position): Promise<void> {
    const feed = await this.#refresh(member);
    if (comparePositions(position, feed.head?.position) <= 0) return;
    const { epoch, revision, hash } = position;
    // Published at a later schema level only: the node was of a later release, or on a control plane of one.
    const { count } = await this.#options.db.query(
      'SELECT 1 FROM manifests WHERE group_id = $1 AND epoch = $2 AND revision = $3 AND hash = $4',
      [member.groupId, epoch, revision, hash],
    );
    if (count > 0) return;
    this.logger.log('error', 'data plane is ahead of the database', {
      node: member.node,
      epoch,
      revision,
      headEpoch: feed.head?.position.epoch ?? 0,
      headRevision: feed.head?.position.revision ?? 0,
    });
  }

  #background(work: Promise<unknown>): void {
    void work.catch((error: unknown) => {
      this.logger.log('warn', 'sync could not read the database', {
        error: error instanceof Error ? error.message : String(error),
      });
    });
  }
}
