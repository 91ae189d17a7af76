/** Carries out what the session machine decides, over one socket. */
import { utf8 } from '#shared/base/bytes.ts';
import { unreachable } from '#shared/base/assert.ts';
import type { Clock, Logger } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { decodeUpFrame, encodeFrame } from '#shared/wire/codec.ts';
import { Rpc, type Handlers, type RpcOutcome } from '#shared/sync/rpc.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import {
  DOWN_METHODS,
  methodsIn,
  UP_METHODS,
  type DownMethods,
  type ParamsOf,
  type ResultOf,
  type UpMethods,
} from '#shared/wire/rpc-methods.ts';
import { emptyFeed, type Feed, type FeedKey, type FrameBytes } from './feed.ts';
import type { Shards } from './node-cache.ts';
import {
  NEW_SESSION,
  step,
  type Admission,
  type Member,
  type Report,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
} from './session.ts';
import type { Slots } from '../slots.ts';

/** The transport's side of a session. */
export interface Socket {
  /** `sent` is called when the bytes have left, or never will. */
  send(bytes: FrameBytes, sent?: () => void): void;
  readonly bufferedBytes: number;
  close(code: number, reason: string): void;
}

/** Who is at the other end of a socket, before anything is proven. */
export interface Peer {
  readonly hostHeader: string;
  readonly ip: string;
  /** Of the certificate that it showed, epoch seconds; not given: it showed none. */
  readonly certificateExpiry?: number | null;
}

/** What a session needs of the control plane. */
export interface SessionHost {
  readonly clock: Clock;
  readonly logger: Logger;
  admit(
    frame: FrameOf<'hello'> | FrameOf<'enrol'>,
    expected: { readonly nonce: string; readonly hostHeader: string; readonly ip: string },
  ): Promise<Admission>;
  /** As of lately: asked for again when it is older. */
  feed(key: FeedKey): Promise<Feed>;
  /** Whether what is known of the group was compared with the database lately. */
  isCurrent(key: FeedKey): boolean;
  /** How many `shards` frames may be on their way at once, over all sessions. */
  readonly shardSlots: Slots;
  shards(groupId: string, ids: readonly string[]): Promise<Shards>;
  /** Whether the node may ask for so many tree nodes more. */
  mayWant(member: Member, count: number): boolean;
  joined(session: Session, member: Member, position: Position): void;
  confirmJoin(node: string, joinSeq: number): Promise<void>;
  /** What nodes may ask of the control plane, for who `member` answers: null before it has joined. */
  methods(member: () => Member | null): Handlers<UpMethods>;
  report(session: Session, member: Member, report: Report): void;
  ahead(member: Member, position: Position): void;
  closed(session: Session, member: Member | null): void;
}

/** Longest that one `shards` frame on its way keeps others from being made. */
const SHARDS_SENT_MAX_MS = 1_000;
/** Longest that an answer to a ping waits for the database. */
const ASK_MS_MAX = 1_000;

export class Session {
  readonly #host: SessionHost;
  readonly #socket: Socket;
  readonly #peer: Peer;
  #state: SessionState = NEW_SESSION;
  #member: Member | null = null;
  /** Events that arrive while one is being handled wait for their turn. */
  readonly #events: SessionEvent[] = [];
  /** A ping waits for what the database says. */
  #isAsking = false;
  #isStepping = false;
  #work = 0;
  #idle: (() => void)[] = [];
  #lastSent: Promise<void> = Promise.resolve();
  readonly #rpc: Rpc<UpMethods, DownMethods>;

  constructor(host: SessionHost, socket: Socket, peer: Peer) {
    this.#host = host;
    this.#socket = socket;
    this.#peer = peer;
    this.#rpc = new Rpc({
      clock: host.clock,
      ours: UP_METHODS,
      handlers: host.methods(() => this.#member),
      theirs: DOWN_METHODS,
      send: (frame) => {
        if (this.#state.tag !== 'live') return false;
        this.dispatch({ type: 'rpc', frame });
        return true;
      },
      failed: (method, error) => this.#failed('a method failed', error, { method }),
    });
  }

  get certificateExpiry(): number | null {
    return this.#peer.certificateExpiry ?? null;
  }

  get ip(): string {
    return this.#peer.ip;
  }

  /** Since when the peer could have said who it is; null: it has. */
  get owesHelloSinceMs(): number | null {
    return this.#state.tag === 'challenged' ? this.#state.sinceMs : null;
  }

  get member(): Member | null {
    return this.#member;
  }

  /** Asks the node; answers within seconds, also when it has no such method. */
  ask<K extends keyof DownMethods & string>(
    method: K,
    params: ParamsOf<DownMethods[K]>,
  ): Promise<RpcOutcome<ResultOf<DownMethods[K]>>> {
    if (methodsIn(this.#member?.about.features ?? []).includes(method)) {
      return this.#rpc.ask(method, params);
    }
    return Promise.resolve({ ok: false, code: 'unknown_method', detail: 'the node has none' });
  }

  get isClosed(): boolean {
    return this.#state.tag === 'closed';
  }

  /** Resolves when nothing that was started is under way. */
  async idle(): Promise<void> {
    await this.#rpc.idle();
    if (this.#work === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  open(challenge: FrameOf<'challenge'>): void {
    this.dispatch({ type: 'opened', nowMs: this.#now(), challenge });
  }

  /** One message of the peer; null for what is no text. */
  receive(text: string | null): void {
    const decoded = text === null ? null : decodeUpFrame(text);
    if (decoded === null) return this.dispatch({ type: 'garbage', detail: 'text expected' });
    if (!decoded.ok) return this.dispatch({ type: 'garbage', detail: 'not a frame' });
    const { frame } = decoded;
    if (frame.type === 'ping') return this.#pinged(frame);
    this.dispatch({ type: 'frame', nowMs: this.#now(), frame });
  }

  /** After a pause of the process, or of the database, what is known may be old: it is asked for first. */
  #pinged(frame: FrameOf<'ping'>): void {
    const member = this.#member;
    const answer = (): void => {
      const isUnsure = member !== null && !this.#host.isCurrent(member);
      this.dispatch({ type: 'frame', nowMs: this.#now(), frame, isUnsure });
    };
    if (member === null || this.#isAsking || this.#host.isCurrent(member)) return answer();
    this.#isAsking = true;
    let cancel: () => void = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#host.clock.setTimer(ASK_MS_MAX, resolve);
    });
    const asked = this.#host.feed(member).then(
      () => {},
      () => {},
    );
    void Promise.race([asked, late]).then(() => {
      cancel();
      this.#isAsking = false;
      answer();
    });
  }

  head(feed: Feed): void {
    this.dispatch({ type: 'head', nowMs: this.#now(), feed });
  }

  tick(): void {
    const bufferedBytes = this.#socket.bufferedBytes;
    this.dispatch({ type: 'tick', nowMs: this.#now(), bufferedBytes });
  }

  dispatch(event: SessionEvent): void {
    if (this.isClosed) return;
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const [state, effects] = step(this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#run(effect);
      }
    } finally {
      this.#isStepping = false;
    }
    if (!this.isClosed) return;
    this.#rpc.end();
    this.#host.closed(this, this.#member);
  }

  #now(): number {
    return this.#host.clock.monotonic();
  }

  #run(effect: SessionEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#socket.send(utf8(encodeFrame(effect.frame)));
      case 'send_bytes':
        return this.#sendBytes(effect.frames);
      case 'close':
        return this.#socket.close(effect.code, effect.reason);
      case 'authenticate':
        return this.#background(this.#authenticate(effect.frame, effect.nonce));
      case 'load_nodes':
        return this.#background(this.#loadNodes(effect.ids));
      case 'joined':
        this.#member = effect.member;
        return this.#host.joined(this, effect.member, effect.position);
      case 'confirm_join':
        return this.#background(this.#confirmJoin(effect.joinSeq));
      case 'report':
        if (this.#member !== null) this.#host.report(this, this.#member, effect.report);
        return undefined;
      case 'rpc':
        return this.#rpc.receive(effect.frame);
      case 'ahead':
        if (this.#member !== null) this.#host.ahead(this.#member, effect.position);
        return undefined;
      default:
        return unreachable(effect);
    }
  }

  #sendBytes(frames: readonly FrameBytes[]): void {
    if (frames.length === 0) return;
    this.#lastSent = new Promise((resolve) => {
      frames.forEach((frame, index) => {
        this.#socket.send(frame, index === frames.length - 1 ? resolve : undefined);
      });
    });
  }

  async #authenticate(frame: FrameOf<'hello'> | FrameOf<'enrol'>, nonce: string): Promise<void> {
    const admission = await this.#host.admit(frame, { nonce, ...this.#peer });
    const feed = admission.ok
      ? await this.#host.feed(admission.member)
      : emptyFeed({ groupId: '', level: 0 });
    this.dispatch({ type: 'admitted', nowMs: this.#now(), admission, feed });
  }

  async #loadNodes(ids: readonly string[]): Promise<void> {
    // The batch before must have left, else a slow reader would pile them up.
    await this.#lastSent;
    if (this.#member === null || this.isClosed) return;
    const release = await this.#host.shardSlots.take();
    try {
      const shards = await this.#host.shards(this.#member.groupId, ids);
      // What found no room comes here again, and counts then.
      if (!this.#host.mayWant(this.#member, ids.length - shards.rest.length)) {
        release();
        return this.dispatch({ type: 'end', reason: 'greedy' });
      }
      this.dispatch({ type: 'shards', nowMs: this.#now(), ...shards });
    } catch (error) {
      release();
      throw error;
    }
    // A slow reader gives its place back all the same: its own buffer is bounded.
    this.#host.clock.setTimer(SHARDS_SENT_MAX_MS, release);
    void this.#lastSent.then(release);
  }

  async #confirmJoin(joinSeq: number): Promise<void> {
    if (this.#member !== null) await this.#host.confirmJoin(this.#member.node, joinSeq);
  }

  /** What fails here is the control plane's own trouble: the node comes back later. */
  #background(work: Promise<void>): void {
    this.#work += 1;
    void work
      .catch((error: unknown) => {
        this.#failed('sync session failed', error, {});
        this.dispatch({ type: 'end', reason: 'failed' });
      })
      .finally(() => {
        this.#work -= 1;
        if (this.#work > 0) return;
        for (const resolve of this.#idle.splice(0)) resolve();
      });
  }

  #failed(message: string, error: unknown, fields: JsonObject): void {
    this.#host.logger.log('error', message, {
      node: this.#member?.node ?? null,
      ...fields,
      error: error instanceof Error ? error.message : String(error),
    });
  }
}
