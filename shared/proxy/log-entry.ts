/** The access log: one object per request, Kong's names where Kong has one (see README.md). */
import type { Outcome } from '../http/message.ts';
import type { Exchange } from './request-context.ts';

/** One attempt to reach a target. */
export interface Try {
  readonly host: string;
  readonly port: number;
  /** Epoch milliseconds. */
  readonly started_at: number;
  /** `ok`, or the transport's failure word. */
  state: string;
}

/** No header, no query value, no body: nothing in it can be a credential. */
export interface AccessLogEntry {
  readonly request_id: string;
  /** Epoch milliseconds. */
  readonly started_at: number;
  readonly client_ip: string;
  readonly request: {
    readonly method: string;
    /** Path only. */
    readonly uri: string;
    /** Names of the query's parameters, at most 32. */
    readonly query_names: readonly string[];
    readonly scheme: string;
    readonly host: string | null;
    readonly http_version: string;
  };
  readonly response: {
    readonly status: number;
    /** Bytes of body handed to the client. */
    readonly size: number;
    /** False when the client or the upstream broke off. */
    readonly complete: boolean;
    /** Who made the response. */
    readonly source: 'upstream' | 'gateway';
  };
  /** Milliseconds. */
  readonly latencies: {
    /** First byte in to last byte out. */
    readonly request: number;
    /** Waiting for the upstream's head; -1 when nothing was sent upstream. */
    readonly proxy: number;
    /** Ours, before the upstream was asked. */
    readonly gateway: number;
  };
  readonly workspace: string | null;
  readonly route: { readonly id: string; readonly name: string | null } | null;
  readonly service: { readonly id: string; readonly name: string | null } | null;
  readonly consumer: { readonly id: string; readonly username: string | null } | null;
  /** Path sent upstream, without query; null when nothing was. */
  readonly upstream_uri: string | null;
  readonly tries: readonly Try[];
}

const QUERY_NAMES_MAX = 32;

export function logEntry(ctx: Exchange, status: number, outcome: Outcome): AccessLogEntry {
  const { route, service, consumer, request } = ctx;
  return {
    request_id: ctx.requestId,
    started_at: ctx.startedAt,
    client_ip: ctx.clientAddress,
    request: {
      method: request.method,
      uri: pathOf(request.target),
      query_names: ctx.query === null ? [] : queryNames(ctx.query),
      scheme: ctx.forwardedScheme,
      host: request.headers.get('host'),
      http_version: request.httpVersion,
    },
    response: {
      status,
      size: outcome.bytesSent,
      complete: outcome.complete,
      source: ctx.proxied ? 'upstream' : 'gateway',
    },
    latencies: latencies(ctx),
    workspace: ctx.workspace,
    route: route === null ? null : { id: route.id, name: route.name },
    service: service === null ? null : { id: service.id, name: service.name },
    consumer: consumer === null ? null : { id: consumer.id, username: consumer.username },
    upstream_uri: ctx.upstreamPath,
    tries: ctx.tries,
  };
}

function latencies(ctx: Exchange): AccessLogEntry['latencies'] {
  const now = ctx.platform.clock.monotonic();
  const asked = ctx.triedMonotonic;
  return {
    request: Math.round(now - ctx.startedMonotonic),
    proxy: ctx.tried ? Math.round((ctx.answeredMonotonic || now) - asked) : -1,
    gateway: Math.round((ctx.tried ? asked : now) - ctx.startedMonotonic),
  };
}

/** A raw target without its query; also for targets that were refused and never normalised. */
export function pathOf(target: string): string {
  const mark = target.indexOf('?');
  return mark < 0 ? target : target.slice(0, mark);
}

/** A parameter without `=` is all value as far as we know, so it is not named. */
function queryNames(query: string): string[] {
  const names: string[] = [];
  for (const part of query.split('&', QUERY_NAMES_MAX)) {
    const equals = part.indexOf('=');
    if (equals > 0) names.push(part.slice(0, equals));
  }
  return names;
}
