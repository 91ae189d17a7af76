/**
 * Calls both ways over one session, within bounds. Each end has one: it asks for the other's methods, and
 * answers its own. Knows nothing of connections: frames go out through a port, and come in by `receive`.
 */
import type { Clock } from '../platform/platform.ts';
import { parseRecord } from '../schema/parse.ts';
import type { FrameOf } from '../wire/frames.ts';
import { RPC_TEXT_LENGTH_MAX } from '../wire/protocol.ts';
import type { Method, Methods, ParamsOf, ResultOf } from '../wire/rpc-methods.ts';

/** Calls of ours that wait for an answer. */
export const ASKED_MAX = 32;
/** Calls of the other end that are being done. One that takes too long keeps its place until it ends. */
export const SERVED_MAX = 8;
/** Calls that the other end may make in a burst, and per second after it. */
export const CALLS_BURST_MAX = 40;
export const CALLS_PER_SECOND_MAX = 20;
/** After it the caller does not wait any longer, and the other end says that it failed. */
export const RPC_MS_MAX = 10_000;

const DETAIL_LENGTH_MAX = 500;

export type RpcErrorCode =
  | NonNullable<FrameOf<'result'>['error']>['code']
  | 'unavailable'
  | 'bad_result';

/** What became of a call. `unavailable`: there is no session, or it ended, or it has no such method. */
export type RpcOutcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: RpcErrorCode; readonly detail: string };

/** Thrown by a handler: why it did not do it, in words that the other end may read. */
export class RpcRefusal extends Error {}

/** What does the methods; one that is not there is refused as unknown. May throw: it failed then. */
export type Handlers<M extends Methods> = {
  readonly [K in keyof M]?: (params: ParamsOf<M[K]>) => ResultOf<M[K]> | Promise<ResultOf<M[K]>>;
};

export type RpcFrame = FrameOf<'call'> | FrameOf<'result'>;

export interface RpcOptions<Ours extends Methods, Theirs extends Methods> {
  readonly clock: Clock;
  /** Methods of ours, and what does them. */
  readonly ours: Ours;
  readonly handlers: Handlers<Ours>;
  /** Methods that the other end may have. */
  readonly theirs: Theirs;
  /** False: nobody is there to take it. */
  readonly send: (frame: RpcFrame) => boolean;
  /** A handler failed; the other end is not told why, unless it was an `RpcRefusal`. */
  readonly failed: (method: string, error: unknown) => void;
}

interface Asked {
  readonly settle: (outcome: RpcOutcome<unknown>) => void;
  readonly fields: Method['result'];
}

export class Rpc<Ours extends Methods, Theirs extends Methods> {
  readonly #options: RpcOptions<Ours, Theirs>;
  /** Maps, because a peer chooses the name that is looked up. */
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #handlers: ReadonlyMap<string, (params: never) => unknown>;
  readonly #asked = new Map<number, Asked>();
  #nextId = 1;
  #served = 0;
  #idle: (() => void)[] = [];
  /** Answers to calls of an earlier session are dropped. */
  #session = 0;
  #tokens = CALLS_BURST_MAX;
  #tokensAtMs: number;

  constructor(options: RpcOptions<Ours, Theirs>) {
    this.#options = options;
    this.#methods = new Map(Object.entries(options.ours));
    this.#handlers = new Map(Object.entries(options.handlers));
    this.#tokensAtMs = options.clock.monotonic();
  }

  /** Asks the other end. Never rejects; answers within `RPC_MS_MAX`. */
  async ask<K extends keyof Theirs & string>(
    method: K,
    params: ParamsOf<Theirs[K]>,
  ): Promise<RpcOutcome<ResultOf<Theirs[K]>>> {
    const { clock, theirs, send } = this.#options;
    if (this.#asked.size >= ASKED_MAX) return failure('busy', 'too many calls are under way');
    const text = JSON.stringify(params);
    if (text.length > RPC_TEXT_LENGTH_MAX) return failure('bad_params', 'too long');
    const id = this.#nextId;
    this.#nextId += 1;
    const outcome = await new Promise<RpcOutcome<unknown>>((resolve) => {
      const cancel = clock.setTimer(RPC_MS_MAX, () =>
        this.#settle(id, failure('timeout', 'no answer in time')),
      );
      const settle = (reached: RpcOutcome<unknown>): void => {
        cancel();
        resolve(reached);
      };
      this.#asked.set(id, { settle, fields: theirs[method]?.result ?? {} });
      if (!send({ type: 'call', id, method, params: text })) {
        this.#settle(id, failure('unavailable', 'there is no session'));
      }
    });
    // A value was read against the definition that its type is inferred from.
    return outcome as RpcOutcome<ResultOf<Theirs[K]>>;
  }

  /** Resolves when all calls that came in are answered. */
  async idle(): Promise<void> {
    if (this.#served > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  receive(frame: RpcFrame): void {
    if (frame.type === 'result') this.#answered(frame);
    else this.#called(frame);
  }

  /** The session ended: nobody answers what was asked in it. */
  end(): void {
    this.#session += 1;
    this.#tokens = CALLS_BURST_MAX;
    for (const id of this.#asked.keys()) {
      this.#settle(id, failure('unavailable', 'the session ended'));
    }
  }

  #settle(id: number, outcome: RpcOutcome<unknown>): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    asked?.settle(outcome);
  }

  #answered({ id, ok, value, error }: FrameOf<'result'>): void {
    const asked = this.#asked.get(id);
    // Too late, or never asked for.
    if (asked === undefined) return;
    if (!ok) {
      const { code, detail } = error ?? { code: 'failed' as const, detail: 'no reason given' };
      return this.#settle(id, failure(code, detail.slice(0, DETAIL_LENGTH_MAX)));
    }
    const parsed = readRecord(asked.fields, value ?? '');
    this.#settle(
      id,
      parsed === null ? failure('bad_result', 'not an answer') : { ok: true, value: parsed },
    );
  }

  #called({ id, method, params: text }: FrameOf<'call'>): void {
    const definition = this.#methods.get(method);
    const handler = this.#handlers.get(method);
    if (!this.#spend()) return this.#refuse(id, 'busy', 'too many calls a second');
    if (this.#served >= SERVED_MAX) return this.#refuse(id, 'busy', 'too many calls at once');
    if (definition === undefined || handler === undefined) {
      return this.#refuse(id, 'unknown_method', '');
    }
    const params = readRecord(definition.params, text);
    if (params === null) return this.#refuse(id, 'bad_params', 'not as the method is defined');
    // Read against the definition that the handler's type is inferred from.
    void this.#serve(id, method, () => handler(params as never));
  }

  async #serve(id: number, method: string, work: () => unknown): Promise<void> {
    const session = this.#session;
    this.#served += 1;
    let isDue = true;
    const answer = (frame: FrameOf<'result'>): void => {
      if (isDue && session === this.#session) this.#options.send(frame);
      isDue = false;
    };
    const cancel = this.#options.clock.setTimer(RPC_MS_MAX, () =>
      answer(refusal(id, 'timeout', 'it took too long')),
    );
    try {
      const value = JSON.stringify(await work());
      if (value.length > RPC_TEXT_LENGTH_MAX) answer(refusal(id, 'failed', 'too long an answer'));
      else answer({ type: 'result', id, ok: true, value, error: null });
    } catch (error) {
      const isExpected = error instanceof RpcRefusal;
      if (!isExpected) this.#options.failed(method, error);
      answer(refusal(id, 'failed', isExpected ? error.message : ''));
    } finally {
      cancel();
      this.#served -= 1;
      if (this.#served === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #refuse(id: number, code: WireCode, detail: string): void {
    this.#options.send(refusal(id, code, detail));
  }

  #spend(): boolean {
    const nowMs = this.#options.clock.monotonic();
    const earned = ((nowMs - this.#tokensAtMs) * CALLS_PER_SECOND_MAX) / 1000;
    this.#tokensAtMs = nowMs;
    this.#tokens = Math.min(CALLS_BURST_MAX, this.#tokens + earned);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

type WireCode = NonNullable<FrameOf<'result'>['error']>['code'];

function failure(
  code: RpcErrorCode,
  detail: string,
): { ok: false; code: RpcErrorCode; detail: string } {
  return { ok: false, code, detail };
}

function refusal(id: number, code: WireCode, detail: string): FrameOf<'result'> {
  const error = { code, detail: detail.slice(0, DETAIL_LENGTH_MAX) };
  return { type: 'result', id, ok: false, value: null, error };
}

/** Null when it is not such a record. */
function readRecord(fields: Method['params'], text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = parseRecord(fields, value);
  if (!parsed.ok) return null;
  return parsed.value;
}
