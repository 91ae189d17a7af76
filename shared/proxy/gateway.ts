/** The request path as a data plane holds it: current tables, settings, ports. */
import type { MaybePromise } from '../base/maybe-promise.ts';
import { hex } from '../base/bytes.ts';
import type { GatewayRequest, GatewayResponse } from '../http/message.ts';
import { HealthRegistry } from '../health/registry.ts';
import type { Platform, Random } from '../platform/platform.ts';
import type { Tables } from '../tables/tables.ts';
import type { JsonObject } from '../schema/field.ts';
import { explain } from './explain.ts';
import type { ExplainRequest } from './explain-request.ts';
import { handle, type HandleOptions } from './handle.ts';
import type { AccessLogEntry } from './log-entry.ts';
import { Load } from './load.ts';
import { Exchange } from './request-context.ts';

/** What an operator sets of the request path. */
export type ProxySettings = Omit<HandleOptions, 'accessLog' | 'unserved'>;

export interface GatewayOptions {
  readonly platform: Platform;
  readonly settings: ProxySettings;
  /** Gets one entry per request when it is over; null: nobody reads them, none are made. */
  readonly accessLog: ((entry: AccessLogEntry) => void) | null;
  /**
   * Where the runtime ends a request without a word when its client leaves, one that began so long ago
   * does not count any more. Default: a listener tells of every end.
   */
  readonly forgottenAfterMs?: number;
}

export class Gateway {
  /** What is known of the Upstreams' targets, whatever the version. For `BuildDeps.health`. */
  readonly health = new HealthRegistry();
  readonly #platform: Platform;
  readonly #options: HandleOptions;
  readonly #ids: RequestIds;
  readonly #load: Load;
  readonly #forgottenAfterMs: number | null;
  #tables: Tables | null = null;
  /** What requests begin with; null while there is nothing, or nothing that may be served. */
  #served: Tables | null = null;
  #isClosed = false;

  constructor(options: GatewayOptions) {
    this.#platform = options.platform;
    this.#options = {
      ...options.settings,
      accessLog: options.accessLog,
      unserved: () => (this.#tables === null ? 'no_configuration' : 'stale_configuration'),
    };
    this.#ids = new RequestIds(options.platform.random);
    this.#forgottenAfterMs = options.forgottenAfterMs ?? null;
    this.#load = new Load(this.#forgottenAfterMs !== null);
  }

  /** What was built last, served or not; null until the first configuration. */
  get tables(): Tables | null {
    return this.#tables;
  }

  /** What requests and connections begin with; null: they are answered 503, and refused. */
  get served(): Tables | null {
    return this.#served;
  }

  /** Whether nothing is served because the configuration is too old. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What is under way ends as it began. */
  setClosed(isClosed: boolean): void {
    this.#isClosed = isClosed;
    this.#served = isClosed ? null : this.#tables;
  }

  /** One assignment: requests in flight end with what they began with. */
  swap(tables: Tables): void {
    this.#tables = tables;
    this.#served = this.#isClosed ? null : tables;
    const { env, upstreams } = tables.parts;
    const nowMs = this.#platform.clock.monotonic();
    env.health.adopt(upstreams.byName.winners, upstreams.step, nowMs);
  }

  /** What would be done with a request by what is served now. */
  explain(asked: ExplainRequest): JsonObject {
    return explain(this.#tables, asked, this.#platform, this.#options);
  }

  /** Requests whose exchange is not over. */
  get activeCount(): number {
    return this.#load.active;
  }

  /**
   * Never throws and never rejects. A promise only where something had to be waited for. The request
   * counts as active until the answer's `onFinish` is called.
   */
  handle(request: GatewayRequest): MaybePromise<GatewayResponse> {
    const ctx = new Exchange(this.#platform, this.#served, request, this.#ids.next());
    if (this.#forgottenAfterMs !== null) {
      this.#load.forget(ctx.startedMonotonic - this.#forgottenAfterMs);
    }
    ctx.enter(this.#load, this.#options.activeMax);
    return handle(ctx, this.#options);
  }
}

const ID_BYTES = 16;
const IDS_PER_DRAW = 64;

/** 32 hex characters each. Random bytes are drawn for many at a time: a draw costs a system call. */
class RequestIds {
  readonly #random: Random;
  #pool: string = '';
  #offset = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): string {
    if (this.#offset === this.#pool.length) {
      this.#pool = hex(this.#random.bytes(ID_BYTES * IDS_PER_DRAW));
      this.#offset = 0;
    }
    const start = this.#offset;
    this.#offset += 2 * ID_BYTES;
    return this.#pool.slice(start, this.#offset);
  }
}
