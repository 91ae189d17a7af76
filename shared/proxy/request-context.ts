/** The context of one request: what plugins see of it, and what the request path keeps beside. */
import { must } from '../base/assert.ts';
import type { MaybePromise } from '../base/maybe-promise.ts';
import { utf8 } from '../base/bytes.ts';
import type { Consumer } from '../entities/consumer.ts';
import type { Route } from '../entities/route.ts';
import type { Service } from '../entities/service.ts';
import { type ErrorFormat, errorResponse } from '../http/error-response.ts';
import type { GatewayError } from '../http/errors.ts';
import type { Body } from '../http/body.ts';
import type { ClientFacts } from '../http/forwarded.ts';
import { HeaderList } from '../http/headers.ts';
import { entryHeaders } from '../http/hop-by-hop.ts';
import type { GatewayRequest, GatewayResponse } from '../http/message.ts';
import type { Peer } from '../balancer/peer.ts';
import type { UpstreamState } from '../balancer/upstream-state.ts';
import type { Platform } from '../platform/platform.ts';
import type { RouteMatch } from '../router/router.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { PluginInstance, PluginPlan } from '../tables/plugin-plan.ts';
import { EMPTY_PLAN } from '../tables/plugin-plan.ts';
import type { RouteTable, Tables, WorkspaceTable } from '../tables/tables.ts';
import type { Credential, MutableResponse, RequestContext } from './context.ts';
import type { HashCookie } from './hash-value.ts';
import type { Load } from './load.ts';
import type { Try } from './log-entry.ts';

const JSON_TYPE = 'application/json; charset=utf-8';

/** Nothing to do when the exchange is over. */
export const NO_FINISH = (): void => {};

/** Fields are public to the request path; plugins get it as `RequestContext`. */
export class Exchange implements RequestContext {
  readonly platform: Platform;
  readonly request: GatewayRequest;
  readonly requestId: string;
  /** The tables this request began with; a swap does not touch it. */
  readonly tables: Tables | null;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  /** On the monotonic clock, ms. */
  readonly startedMonotonic: number;

  /** Who asks, as far as it is to be believed. Set before any plugin runs. */
  client: ClientFacts | null = null;
  path = '/';
  /** The path as it goes upstream: escaped, normalised. */
  forwardPath = '/';
  /** What lenient upstreams would take the path for. */
  lenientPaths: readonly string[] = [];
  query: string | null = null;
  upstreamQuery: string | null = null;
  upstreamBody: Body;

  match: RouteMatch | null = null;
  routed: RouteTable | null = null;
  plan: PluginPlan = EMPTY_PLAN;
  /** What each step of the plan resolved to, by its index; null while nothing depends on it. */
  resolved: (PluginInstance | null)[] | null = null;

  consumer: Consumer | null = null;
  credential: Credential | null = null;
  response: MutableResponse | null = null;
  proxied = false;
  /** True once a try was made: decides which latency headers the response carries. */
  tried = false;
  /** On the monotonic clock, ms; 0 before. */
  triedMonotonic = 0;
  answeredMonotonic = 0;
  /** What the upstream answered; null when it did not. */
  upstreamStatus: number | null = null;
  readonly tries: Try[] = [];
  /** Path sent upstream, without query; null before. */
  upstreamPath: string | null = null;
  /** To be set on the response, when it comes from upstream. */
  hashCookie: HashCookie | null = null;
  /** Bytes of the body that were taken from the platform's memory. */
  heldBytes = 0;
  #load: Load | null = null;
  /** Where the request is under way; null: nowhere. */
  #peer: Peer | null = null;
  #peerState: UpstreamState | null = null;

  #upstreamHeaders: HeaderList | null = null;
  #shared: Map<string, unknown> | null = null;

  constructor(
    platform: Platform,
    tables: Tables | null,
    request: GatewayRequest,
    requestId: string,
  ) {
    this.platform = platform;
    this.tables = tables;
    this.request = request;
    this.upstreamBody = request.body;
    this.requestId = requestId;
    this.startedAt = platform.clock.now();
    this.startedMonotonic = platform.clock.monotonic();
  }

  /** Takes a place among the active requests; without one, the request is only told so. */
  enter(load: Load, activeMax: number): void {
    if (load.active >= activeMax) return;
    load.entered(this);
    this.#load = load;
  }

  get hasEntered(): boolean {
    return this.#load !== null;
  }

  /** The request is under way to a peer from now on, until `release`. */
  hold(state: UpstreamState, peer: Peer): void {
    this.release();
    state.began(peer);
    this.#peer = peer;
    this.#peerState = state;
  }

  /** The exchange with the peer is over; once is enough. */
  release(): void {
    const peer = this.#peer;
    const state = this.#peerState;
    this.#peer = null;
    this.#peerState = null;
    if (peer !== null && state !== null) state.ended(peer);
  }

  /** The whole exchange is over, however it ended. */
  leave(): void {
    this.release();
    if (this.heldBytes > 0) this.platform.bodyMemory?.giveBack(this.heldBytes);
    this.heldBytes = 0;
    this.#load?.left(this);
    this.#load = null;
  }

  get clientAddress(): string {
    return this.client === null ? this.request.peerAddress : this.client.address;
  }

  get forwardedScheme(): string {
    return this.client === null ? this.request.scheme : this.client.scheme;
  }

  get captures(): RequestContext['captures'] {
    return this.match === null ? null : this.match.captures;
  }

  get route(): Route | null {
    return this.routed === null ? null : this.routed.route;
  }

  get service(): Service | null {
    return this.routed === null || this.routed.target === null ? null : this.routed.target.service;
  }

  get workspace(): string | null {
    return this.routed === null ? null : this.routed.ws;
  }

  /** A copy of the request's headers, made when first asked for. */
  get upstreamHeaders(): HeaderList {
    this.#upstreamHeaders ??= entryHeaders(this.request.headers);
    return this.#upstreamHeaders;
  }

  get shared(): Map<string, unknown> {
    this.#shared ??= new Map();
    return this.#shared;
  }

  /** The workspace whose global plugins apply before a route's own do. */
  get governing(): WorkspaceTable | null {
    const { tables, routed } = this;
    if (tables === null) return null;
    return routed === null ? tables.fallback : (tables.workspaces.get(routed.ws) ?? null);
  }

  find(kind: string, field: string, value: string): MaybePromise<AnyEntity | null> {
    const governing = this.governing;
    const index = governing?.index.get(kind)?.get(field);
    if (governing === null || index === undefined) return null;
    if (!index.isSecret) return index.byValue.get(value) ?? null;
    const hash = must(this.tables?.hashSecret, 'secret look-up without the group secret');
    return index.byValue.get(hash(kind, governing.id, value)) ?? null;
  }

  exit(
    status: number,
    body: { readonly [key: string]: unknown } | null,
    headers: readonly (readonly [string, string])[] = [],
  ): GatewayResponse {
    const list = new HeaderList();
    let bytes: Uint8Array | null = null;
    for (const [name, value] of headers) list.append(name, value);
    if (body !== null) {
      bytes = utf8(JSON.stringify(body));
      if (!list.has('content-type')) list.append('Content-Type', JSON_TYPE);
    }
    return { status, headers: list, body: bytes, tunnel: null, filters: [], onFinish: NO_FINISH };
  }

  error(
    status: number,
    message: string,
    headers: readonly (readonly [string, string])[] = [],
  ): GatewayResponse {
    return errorResponse(
      this.request.headers,
      { status, message, requestId: this.requestId },
      headers,
    );
  }

  /** @param serverDefault  format for errors that are the server's own, where nothing else decides */
  errorFor(error: GatewayError, serverDefault: ErrorFormat): GatewayResponse {
    const { status, message, isByServer, headers } = error;
    const { requestId, request } = this;
    const facts = { status, message, requestId, serverDefault: isByServer ? serverDefault : null };
    return errorResponse(request.headers, facts, headers);
  }
}
