/** One request's life: the only mutable thing on the request path, and all a plugin may touch. */
import type { MaybePromise } from '../base/maybe-promise.ts';
import type { Body } from '../http/body.ts';
import type { HeaderList } from '../http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '../http/message.ts';
import type { Platform } from '../platform/platform.ts';
import type { Consumer } from '../entities/consumer.ts';
import type { Route } from '../entities/route.ts';
import type { Service } from '../entities/service.ts';
import type { AnyEntity } from '../schema/infer.ts';

/** What an authentication plugin found. */
export interface Credential {
  readonly id: string;
  /** The definition's name: `keyauth_credentials`. */
  readonly kind: string;
}

export interface RequestContext {
  readonly platform: Platform;
  readonly request: GatewayRequest;
  /** 32 hex characters; the same in log, error body and headers. */
  readonly requestId: string;
  /** Client address after trusted proxies were believed. */
  readonly clientAddress: string;
  /** Scheme after trusted proxies were believed. */
  readonly forwardedScheme: string;
  /** Normalised path, as matched; no query. */
  readonly path: string;
  /** Raw query without `?`; null when there was no `?`. */
  readonly query: string | null;

  /** Groups of the route's path, where that is a regex that has any. */
  readonly captures: {
    readonly named: Readonly<Record<string, string>>;
    /** Group 1 first; the empty string for one that took no part. */
    readonly indexed: readonly string[];
  } | null;

  readonly route: Route | null;
  readonly service: Service | null;
  /** Workspace id of the matched route; null before matching and on 404. */
  readonly workspace: string | null;
  /** Set by authentication plugins. Consumer-scoped plugin configurations apply from then on. */
  consumer: Consumer | null;
  credential: Credential | null;

  /** Headers that will go upstream. Plugins change them from `rewrite` and `access`. */
  readonly upstreamHeaders: HeaderList;
  /** Raw query that will go upstream; starts as `query`. */
  upstreamQuery: string | null;
  /** Body that will go upstream; starts as the request's. */
  upstreamBody: Body;
  /** The response on its way out; null before the header filter phase. */
  response: MutableResponse | null;
  /** True when the response came from the upstream rather than from us. */
  readonly proxied: boolean;

  /** Room for a plugin to keep something from one phase to the next, by its own key. */
  readonly shared: Map<string, unknown>;

  /**
   * Looks up an entity by a unique field within the request's workspace (decision 17). For a field
   * with `secret: 'lookup'` the value is given in clear and hashed here.
   */
  find(kind: string, field: string, value: string): MaybePromise<AnyEntity | null>;

  /** Ends the request with a JSON body (or none). Return what it answers. */
  exit(
    status: number,
    body: { readonly [key: string]: unknown } | null,
    headers?: readonly (readonly [string, string])[],
  ): GatewayResponse;

  /** Ends the request with an error in the format the client accepts. Return what it answers. */
  error(
    status: number,
    message: string,
    headers?: readonly (readonly [string, string])[],
  ): GatewayResponse;
}

export interface MutableResponse {
  status: number;
  readonly headers: HeaderList;
}
