/**
 * Runs the session machine over the ports of a data plane: one connection at a time, one frame at a
 * time, one build at a time. What goes wrong in here ends in a retry, never in an exception outside.
 */
import { unreachable } from '../base/assert.ts';
import { loadReplica, positionOf, toStored, type ReplicaState } from '../config/replica.ts';
import type {
  Clock,
  ConfigStore,
  Connection,
  ConnectionEvents,
  Connector,
  Crypto,
  Logger,
  Random,
} from '../platform/platform.ts';
import { CLOSE } from '../wire/close-codes.ts';
import { decodeDownFrame, encodeFrame } from '../wire/codec.ts';
import type { About, FrameOf } from '../wire/frames.ts';
import {
  DOWN_METHODS,
  featureOf,
  UP_METHODS,
  type DownMethods,
  type ParamsOf,
  type ResultOf,
  type UpMethods,
} from '../wire/rpc-methods.ts';
import { headPart } from './head-part.ts';
import type { IdentityStore, NodeIdentity } from './identity.ts';
import { deadlineOf, initialState, step, takesCall, takesHealth, viewOf } from './machine.ts';
import { Membership } from './membership.ts';
import { Rpc, type Handlers, type RpcFrame, type RpcOutcome } from './rpc.ts';
import { Saver } from './saver.ts';
import type { BuildOutcome, SyncEffect, SyncEvent, SyncState } from './state.ts';
import { Verifier } from './verifier.ts';

export type { BuildOutcome } from './state.ts';

/** Longest that an acknowledgement waits for the disk. */
export const SAVE_WAIT_MS_MAX = 5_000;
/** What could not be saved is tried again after so long, until it can be or something newer is served. */
export const SAVE_RETRY_MS = 15_000;
/** Unsent bytes beyond which no further report of health is made, and nothing asked. */
const BUFFERED_BYTES_MAX = 256 * 1024;

const VANISHED = 1006;

export interface SyncClientOptions {
  /** Addresses of control planes, at least one: `wss://`, or `https://` to pull. */
  readonly controlPlanes: readonly string[];
  readonly joinToken: string | null;
  readonly about: About;
  /** Schema level to ask for. Default: the newest that this release reads. */
  readonly level?: () => number;
  /** Gets complete URLs; see `connectorByScheme` for one that also pulls. */
  readonly connector: Connector;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly logger: Logger;
  readonly identities: IdentityStore;
  readonly configs: ConfigStore;
  /** Resolves when the process had its chance to do other things. Default: at once. */
  readonly giveWay?: () => Promise<void>;
  /**
   * Builds the tables and swaps them in. Called for one state at a time, each newer than the one
   * before, or the same again when the group's secrets changed.
   */
  readonly onReplica: (state: ReplicaState, identity: NodeIdentity) => Promise<BuildOutcome>;
  /** What the control plane may ask of this node; told to it by name. */
  readonly methods?: Handlers<DownMethods>;
  /** Called when a session has begun; by pull, with every exchange. */
  readonly onJoined?: () => void;
  /** Called when the node has joined, and when its secrets or its group's name changed. */
  readonly onIdentity?: (identity: NodeIdentity) => void;
}

export interface SyncStatus {
  readonly tag: 'stopped' | 'disconnected' | 'connecting' | 'joining' | 'syncing' | 'live';
  /** What is served: revision 0 for nothing. */
  readonly epoch: number;
  readonly revision: number;
  readonly hash: string;
  readonly lastError: string | null;
  /** Whether what is served would survive a restart. */
  readonly persisted: boolean;
  /** Epoch ms since when news may be missing; null while in touch and current. */
  readonly staleSinceMs: number | null;
  /** Address of the control plane that we are connected or connecting to. */
  readonly controlPlane: string | null;
}

export class SyncClient {
  readonly #options: SyncClientOptions;
  readonly #membership: Membership;
  readonly #verifier: Verifier;
  #state: SyncState;
  #connection: Connection | null = null;
  /** Names the connection: what an earlier one still has to say is not heard. */
  #dialled = 0;
  /** Events that arrive while one is being handled wait for their turn. */
  readonly #events: SyncEvent[] = [];
  #isStepping = false;
  #cancelTimer: () => void = () => {};
  /** Proving, joining and verifying, one after the other. */
  #work: Promise<void> = Promise.resolve();
  #building: Promise<void> = Promise.resolve();
  #refused = '';
  #cancelSave: () => void = () => {};
  readonly #rpc: Rpc<DownMethods, UpMethods>;
  readonly #saver = new Saver<ReplicaState>((state) => this.#saveNow(state));

  constructor(options: SyncClientOptions) {
    const { controlPlanes, random, crypto, identities, joinToken, logger } = options;
    const methods: Handlers<DownMethods> = {
      ...options.methods,
      renew_key: () => this.#renewKey(),
      head: ({ from }) => headPart(this.#state.served, from),
    };
    this.#options = options;
    const features = [...options.about.features, ...Object.keys(methods).map(featureOf)];
    const about = { ...options.about, features };
    this.#rpc = new Rpc({
      clock: options.clock,
      ours: DOWN_METHODS,
      handlers: methods,
      theirs: UP_METHODS,
      send: (frame) => this.#sendRpc(frame),
      failed: (method, error) =>
        logger.log('error', 'a method failed', { method, error: messageOf(error) }),
    });
    this.#membership = new Membership({ ...options, identities, joinToken, about, crypto, logger });
    this.#verifier = new Verifier(crypto);
    this.#state = initialState(controlPlanes, Math.floor(random.next() * controlPlanes.length));
  }

  /** Null as long as the node has not joined. */
  get identity(): NodeIdentity | null {
    return this.#membership.identity;
  }

  /** The configuration that is served; null for none. */
  get served(): ReplicaState | null {
    return this.#state.served;
  }

  /** Hash of the manifest that was verified last and could not be served; empty for none. */
  get refused(): string {
    return this.#refused;
  }

  /**
   * Loads identity and stored configuration, verifies it and hands it to `onReplica`; to be called
   * once, before `start`.
   *
   * @param cached  a configuration that the caller has loaded and serves already; null when it found
   *   none; not given: the store is asked
   * @returns whether a configuration is served
   */
  async boot(cached?: ReplicaState | null): Promise<boolean> {
    await this.#membership.load();
    const { identity } = this.#membership;
    if (identity !== null) this.#options.onIdentity?.(identity);
    const state = cached === undefined ? await this.#restore() : cached;
    if (state !== null) this.#dispatch({ type: 'restored', state });
    return state !== null;
  }

  /** Connects, and keeps at it until `stop`. */
  start(): void {
    this.#dispatch({ type: 'start' });
  }

  /** Hangs up and waits for what is under way. */
  async stop(): Promise<void> {
    this.#dispatch({ type: 'stop' });
    this.#cancelSave();
    await this.#work;
    await this.#building;
    await this.#saver.idle();
  }

  /**
   * Builds and serves a configuration that the caller has loaded and held back, as one that came from a
   * control plane; unless anything is served, or being built, by now.
   */
  serveAfterAll(state: ReplicaState): void {
    this.#dispatch({ type: 'held_back', state });
  }

  /** Tells the control plane of trouble that is not the session's own. */
  tellError(error: string): void {
    this.#dispatch({ type: 'trouble', error });
  }

  status(): SyncStatus {
    const { tag, position, controlPlane } = viewOf(this.#state);
    const { lastError, staleSinceMs } = this.#state;
    const persisted = this.#state.lastAck?.persisted ?? true;
    return { tag, ...position, lastError, persisted, staleSinceMs, controlPlane };
  }

  /** Names the session in which health is reported, each another; null: nobody takes any. */
  healthSession(): number | null {
    return takesHealth(this.#state) ? this.#dialled : null;
  }

  /** Sends it, unless nobody takes it, or the connection has enough to carry; says which. */
  reportHealth(frame: FrameOf<'health'>): boolean {
    const connection = this.#connection;
    if (connection === null || this.healthSession() === null) return false;
    if (connection.bufferedBytes > BUFFERED_BYTES_MAX) return false;
    connection.send(encodeFrame(frame));
    return true;
  }

  /** Asks the control plane; answers within seconds, also when there is none to ask. */
  ask<K extends keyof UpMethods & string>(
    method: K,
    params: ParamsOf<UpMethods[K]>,
  ): Promise<RpcOutcome<ResultOf<UpMethods[K]>>> {
    return this.#rpc.ask(method, params);
  }

  #sendRpc(frame: RpcFrame): boolean {
    const connection = this.#connection;
    if (connection === null || !takesCall(this.#state, frame)) return false;
    if (connection.bufferedBytes > BUFFERED_BYTES_MAX) return false;
    connection.send(encodeFrame(frame));
    return true;
  }

  async #restore(): Promise<ReplicaState | null> {
    const { configs, crypto, logger, onReplica } = this.#options;
    const { identity } = this.#membership;
    const stored = await configs.load().catch((error: unknown) => {
      logger.log('warn', 'the stored configuration cannot be read', { error: messageOf(error) });
      return null;
    });
    if (stored === null) {
      const level = (identity?.highWater.revision ?? 0) > 0 ? 'warn' : 'info';
      logger.log(level, 'no usable configuration is stored: asking a control plane', {});
      return null;
    }
    if (identity === null) {
      logger.log('warn', 'the stored configuration is of no use without an identity', {});
      return null;
    }
    const loaded = await loadReplica(stored, identity, crypto);
    if (!loaded.ok) {
      const { code, detail } = loaded;
      logger.log('warn', 'the stored configuration is refused', { code, detail });
      return null;
    }
    const outcome = await this.#tryBuild(onReplica, loaded.state, identity);
    if (outcome.ok) return loaded.state;
    const { detail } = outcome;
    logger.log('error', 'the stored configuration cannot be built', { detail });
    return null;
  }

  #dispatch(event: SyncEvent): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const [state, effects] = step(this.#state, next, this.#moment());
        this.#state = state;
        for (const effect of effects) this.#run(effect);
      }
    } finally {
      this.#isStepping = false;
    }
    this.#setTimer();
  }

  #moment(): { nowMs: number; wallMs: number; random: number } {
    const { clock, random } = this.#options;
    return { nowMs: clock.monotonic(), wallMs: clock.now(), random: random.next() };
  }

  #setTimer(): void {
    this.#cancelTimer();
    const deadline = deadlineOf(this.#state);
    if (deadline === null) {
      this.#cancelTimer = () => {};
      return;
    }
    const { clock } = this.#options;
    // Rounded up: a timer that comes early would only be set again.
    const delayMs = Math.max(0, Math.ceil(deadline - clock.monotonic()));
    this.#cancelTimer = clock.setTimer(delayMs, () => this.#dispatch({ type: 'tick' }));
  }

  #run(effect: SyncEffect): void {
    switch (effect.type) {
      case 'connect':
        return this.#connect(effect.url);
      case 'close':
        return this.#close(effect.code, effect.reason);
      case 'send':
        return this.#connection?.send(encodeFrame(effect.frame));
      case 'prove':
        return this.#enqueue(() => this.#prove(effect, this.#dialled));
      case 'join':
        return this.#enqueue(() => this.#join(effect, this.#dialled));
      case 'rejoin':
        return this.#enqueue(() => this.#rejoin(effect.reason));
      case 'verify':
        return this.#enqueue(() => this.#verify(effect));
      case 'rpc':
        return this.#rpc.receive(effect.frame);
      case 'build':
        this.#building = this.#build(effect.state);
        return undefined;
      case 'log':
        return this.#options.logger.log(effect.level, effect.message, effect.fields);
      default:
        return unreachable(effect);
    }
  }

  #connect(url: string): void {
    this.#dialled += 1;
    const dialled = this.#dialled;
    const isCurrent = (): boolean => dialled === this.#dialled;
    const events: ConnectionEvents = {
      open: () => {},
      message: (text) => {
        if (isCurrent()) this.#dispatch(eventOf(text));
      },
      close: (code, reason) => {
        if (!isCurrent()) return;
        this.#forget();
        if (code === CLOSE.unauthorized) this.#membership.refused();
        this.#dispatch({ type: 'closed', code, reason });
      },
    };
    try {
      const connection = this.#options.connector.open(url, events);
      // It may have ended already.
      if (isCurrent()) this.#connection = connection;
    } catch (error) {
      events.close(VANISHED, messageOf(error));
    }
  }

  #close(code: number, reason: string): void {
    const connection = this.#connection;
    this.#forget();
    connection?.close(code, reason);
  }

  #forget(): void {
    this.#dialled += 1;
    this.#connection = null;
    this.#rpc.end();
  }

  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      const detail = messageOf(error);
      this.#options.logger.log('error', 'the sync client failed', { error: detail });
      this.#dispatch({ type: 'failed', detail });
    });
  }

  async #prove(
    { challenge, host, position }: Extract<SyncEffect, { type: 'prove' }>,
    dialled: number,
  ): Promise<void> {
    const proven = await this.#membership.prove(challenge, host, position);
    if (dialled !== this.#dialled) return;
    this.#dispatch(
      proven.ok
        ? { type: 'proved', frame: proven.frame }
        : { type: 'unproven', detail: proven.detail },
    );
  }

  async #join({ welcome }: Extract<SyncEffect, { type: 'join' }>, dialled: number): Promise<void> {
    if (dialled !== this.#dialled) return;
    const before = this.#membership.identity;
    const admitted = await this.#membership.join(welcome);
    const { identity } = this.#membership;
    const hasNews = admitted.ok && (admitted.hasNewSecrets || before?.group !== identity?.group);
    if (hasNews && identity !== null) this.#options.onIdentity?.(identity);
    if (admitted.ok && admitted.hasNewSecrets) this.#dispatch({ type: 'secrets_changed' });
    if (dialled !== this.#dialled) return;
    this.#dispatch(
      admitted.ok
        ? { type: 'joined', welcome, joinSeq: admitted.joinSeq }
        : { type: 'unproven', detail: admitted.detail },
    );
    if (admitted.ok) this.#options.onJoined?.();
  }

  /** Answers at once: what follows is a call of our own. */
  #renewKey(): Record<string, never> {
    this.#enqueue(async () => {
      const asked = await this.#membership.nextKey();
      if (asked === null) return;
      // Not waited for: the answer comes when it comes, and verifying goes on meanwhile.
      void this.ask('rotate_key', asked).then((outcome) => {
        if (outcome.ok) this.#enqueue(() => this.#membership.adoptKey());
      });
    });
    return {};
  }

  async #rejoin(reason: string): Promise<void> {
    if (await this.#membership.rejoin(reason)) this.#dispatch({ type: 'retry' });
  }

  async #verify({ frame, held, served }: Extract<SyncEffect, { type: 'verify' }>): Promise<void> {
    const { identity } = this.#membership;
    if (identity === null) return this.#dispatch({ type: 'verified', verdict: { tag: 'ignored' } });
    // A large transfer comes as many frames at once; between two of them others have their turn.
    if (frame.type === 'shards') await this.#options.giveWay?.();
    const verdict = await this.#verifier.verify(frame, { held, served }, identity);
    this.#dispatch({ type: 'verified', verdict });
  }

  async #build(state: ReplicaState): Promise<void> {
    const { onReplica } = this.#options;
    const { identity } = this.#membership;
    const outcome: BuildOutcome =
      identity === null
        ? { ok: false, entity: null, detail: 'the node has not joined' }
        : await this.#tryBuild(onReplica, state, identity);
    this.#refused = outcome.ok ? '' : positionOf(state).hash;
    const persisted = outcome.ok && (await this.#saveInTime(state));
    this.#dispatch({ type: 'built', state, outcome, persisted });
    if (outcome.ok && !persisted) this.#saveLater(state);
  }

  #saveLater(state: ReplicaState): void {
    this.#cancelSave();
    this.#cancelSave = this.#options.clock.setTimer(SAVE_RETRY_MS, () => {
      // What waits for its turn is this one or a newer one, which must not give way to it.
      if (this.#saver.isBusy) this.#saveLater(state);
      else if (this.#state.served === state) void this.#saveAgain(state);
    });
  }

  async #saveAgain(state: ReplicaState): Promise<void> {
    if (await this.#saver.save(state)) this.#dispatch({ type: 'persisted', state });
    else if (this.#state.served === state) this.#saveLater(state);
  }

  async #tryBuild(
    onReplica: SyncClientOptions['onReplica'],
    state: ReplicaState,
    identity: NodeIdentity,
  ): Promise<BuildOutcome> {
    try {
      return await onReplica(state, identity);
    } catch (error) {
      return { ok: false, entity: null, detail: messageOf(error) };
    }
  }

  /** Whether it was saved before the control plane has waited long enough to hear of it. */
  async #saveInTime(state: ReplicaState): Promise<boolean> {
    let cancel: () => void = () => {};
    const late = new Promise<boolean>((resolve) => {
      cancel = this.#options.clock.setTimer(SAVE_WAIT_MS_MAX, () => resolve(false));
    });
    const persisted = await Promise.race([this.#saver.save(state), late]);
    cancel();
    return persisted;
  }

  async #saveNow(state: ReplicaState): Promise<boolean> {
    try {
      await this.#options.configs.save(toStored(state));
      await this.#membership.raiseHighWater(state);
      return true;
    } catch (error) {
      const fields = { ...positionOf(state), error: messageOf(error) };
      this.#options.logger.log('error', 'the configuration cannot be saved', fields);
      return false;
    }
  }
}

function eventOf(text: string): SyncEvent {
  const decoded = decodeDownFrame(text);
  if (!decoded.ok) return { type: 'garbage', detail: `not a frame: ${decoded.error}` };
  return { type: 'message', frame: decoded.frame };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
