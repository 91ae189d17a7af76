/** A platform without a network: fake time, counted randomness, a transport that is a function. */
import { isPromise, type MaybePromise } from '#shared/base/maybe-promise.ts';
import type { BodyMemory } from '#shared/http/body-memory.ts';
import type { BodySink, BodyStream } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest } from '#shared/http/message.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type {
  Abort,
  Clock,
  CounterStore,
  LogLevel,
  Platform,
  Random,
  Resolver,
  UpstreamRequest,
  UpstreamResponse,
} from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';

/** A Tuesday: 2026-03-10T12:00:00Z. */
export const FAKE_EPOCH_MS = Date.UTC(2026, 2, 10, 12);

export class FakeClock implements Clock {
  #now = FAKE_EPOCH_MS;
  readonly #timers = new Set<{ readonly at: number; readonly fn: () => void }>();

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now - FAKE_EPOCH_MS + 1000;
  }

  setTimer(delayMs: number, fn: () => void): () => void {
    const timer = { at: this.#now + delayMs, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass; timers that fall due fire in order. */
  advance(durationMs: number): void {
    const end = this.#now + durationMs;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
      const [next] = due;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.fn();
    }
    this.#now = end;
  }
}

/** Never twice the same, and the same in every run. */
export class CountingRandom implements Random {
  #count = 0;

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#count++ & 0xff);
  }

  uuid(): string {
    this.#count += 1;
    return `00000000-0000-4000-8000-${this.#count.toString(16).padStart(12, '0')}`;
  }

  next(): number {
    this.#count += 1;
    return (this.#count % 1000) / 1000;
  }
}

/** Counters in memory; set `failure` or `isSlow` to be unreachable or asynchronous. */
export class MemoryCounters implements CounterStore {
  readonly values = new Map<string, { value: number; readonly expiresAtMs: number }>();
  failure: Error | null = null;
  isSlow = false;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  read(key: string): MaybePromise<number> {
    return this.#answer(() => this.#live(key)?.value ?? 0);
  }

  increment(key: string, amount: number, expiresAtMs: number): MaybePromise<number> {
    return this.#answer(() => {
      const counter = this.#live(key) ?? { value: 0, expiresAtMs };
      counter.value += amount;
      this.values.set(key, counter);
      return counter.value;
    });
  }

  #live(key: string): { value: number; readonly expiresAtMs: number } | null {
    const counter = this.values.get(key);
    return counter === undefined || counter.expiresAtMs <= this.#clock.now() ? null : counter;
  }

  #answer(make: () => number): MaybePromise<number> {
    if (this.isSlow) return Promise.resolve().then(() => this.#orThrow(make));
    return this.#orThrow(make);
  }

  #orThrow(make: () => number): number {
    if (this.failure !== null) throw this.failure;
    return make();
  }
}

/** Answers a request, or throws an `UpstreamError`. */
export type Respond = (sent: UpstreamRequest) => MaybePromise<UpstreamResponse>;

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: JsonObject;
}

export class FakePlatform implements Platform {
  readonly clock = new FakeClock();
  readonly random = new CountingRandom();
  readonly crypto = nodeCrypto;
  readonly counters = new MemoryCounters(this.clock);
  readonly logs: LogLine[] = [];
  /** Requests that reached the transport, in order. */
  readonly sent: UpstreamRequest[] = [];
  readonly pending: Promise<unknown>[] = [];
  resolver: Resolver | null = null;
  bodyMemory: BodyMemory | null = null;
  respond: Respond = () => answer(200, 'hello', ['Content-Type', 'text/plain']);

  readonly transport = {
    send: async (outgoing: UpstreamRequest): Promise<UpstreamResponse> => {
      // As it was when it was sent: a retry changes the headers in place.
      this.sent.push({ ...outgoing, headers: outgoing.headers.clone() });
      const response = this.respond(outgoing);
      return isPromise(response) ? await response : response;
    },
  };

  readonly logger = {
    log: (level: LogLevel, message: string, fields: JsonObject = {}): void => {
      this.logs.push({ level, message, fields });
    },
  };

  background(work: Promise<unknown>): void {
    this.pending.push(work);
  }
}

/** An upstream response. `headers` alternate names and values. */
export function answer(status: number, body: string, headers: string[] = []): UpstreamResponse {
  const bytes = new TextEncoder().encode(body);
  const list = new HeaderList([...headers, 'Content-Length', String(bytes.length)]);
  return { status, headers: list, body: bytes, tunnel: null };
}

/** An abort signal that a test fires. */
export class FakeAbort implements Abort {
  aborted = false;
  readonly #listeners = new Set<() => void>();

  onAbort(fn: () => void): () => void {
    if (this.aborted) fn();
    else this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  fire(): void {
    this.aborted = true;
    for (const fn of this.#listeners) fn();
    this.#listeners.clear();
  }
}

/** A stream of one chunk. */
export class OneChunk implements BodyStream {
  readonly length = null;
  consumed = false;
  isCancelled = false;

  pipe(sink: BodySink): void {
    this.consumed = true;
    sink.write(new TextEncoder().encode('body'));
    sink.end(null);
  }

  resume(): void {}

  cancel(): void {
    this.isCancelled = true;
  }
}

export interface RequestOptions extends Partial<Omit<GatewayRequest, 'headers' | 'target'>> {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

/** A request of a client at 192.0.2.1 to gateway.test. */
export function request(target: string, options: RequestOptions = {}): GatewayRequest {
  const { headers = {}, ...rest } = options;
  const raw: string[] = [];
  for (const [name, value] of Object.entries({ Host: 'gateway.test', ...headers })) {
    for (const each of typeof value === 'string' ? [value] : value) raw.push(name, each);
  }
  return {
    method: 'GET',
    target,
    httpVersion: '1.1',
    scheme: 'http',
    headers: new HeaderList(raw),
    body: null,
    peerAddress: '192.0.2.1',
    peerPort: 50_000,
    localAddress: '192.0.2.2',
    localPort: 8000,
    tls: null,
    abort: new FakeAbort(),
    sendInterim: null,
    upgrade: null,
    ...rest,
  };
}
