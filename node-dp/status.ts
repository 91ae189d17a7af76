/** The status port: is it alive, may it get traffic, and the figures behind that. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { UpstreamHealth } from '#shared/health/registry.ts';
import type { Listen } from '#shared/settings/listen.ts';
import type { ExplainRequest } from '#shared/proxy/explain-request.ts';
import type { StreamFigures } from './stream/streams.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Position } from '#shared/wire/frames.ts';
import { quarantineView } from '#shared/tables/quarantine.ts';
import type { Quarantined } from '#shared/tables/tables.ts';
import { healthSamples, healthView } from './health-view.ts';
import { answerExplain } from './explain-endpoint.ts';

const CONNECTIONS_MAX = 256;
const REQUEST_MS = 10_000;

/** What the data plane knows of itself at this moment. */
export interface Figures {
  readonly isDraining: boolean;
  /** Null before the first verified configuration was compiled. */
  readonly config: {
    readonly epoch: number;
    readonly revision: number;
    readonly hash: string;
  } | null;
  /** Nothing is served because the configuration is too old. */
  readonly isClosed: boolean;
  readonly controlPlane: ControlPlaneFigures;
  readonly connections: number;
  readonly inFlight: number;
  /** Answers by the first digit of their status, index 1 to 5. */
  readonly requestsByClass: readonly number[];
  /** Connections that have switched protocols; also among those in flight. */
  readonly tunnels: number;
  readonly streams: StreamFigures;
  readonly accessLogDropped: number;
  readonly quarantined: readonly Quarantined[];
  /** Configurations that are refused because the node crashed with them. */
  readonly crashed: readonly Position[];
  readonly upstreams: Iterable<UpstreamHealth>;
}

/** What is known of the session with the control plane. Times: epoch ms. */
export interface ControlPlaneFigures {
  readonly connected: boolean;
  readonly lastError: string | null;
  /** Whether what is served would survive a restart. */
  readonly persisted: boolean;
  /** Since when news may be missing; null: none are. */
  readonly staleSinceMs: number | null;
  /** When it was last proven that what is served is the newest; null: never that we know. */
  readonly provenAtMs: number | null;
  /** Policy of the group. */
  readonly policy: string;
  /** Older than the group allows. */
  readonly isStale: boolean;
}

export const NO_CONTROL_PLANE: ControlPlaneFigures = {
  connected: false,
  lastError: null,
  persisted: true,
  staleSinceMs: null,
  provenAtMs: null,
  policy: 'serve',
  isStale: false,
};

export interface StatusSource {
  figures(): Figures;
  explain(asked: ExplainRequest): JsonObject;
}

export interface StatusServer {
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

/** @throws the system error when the port cannot be bound */
export function startStatusServer(listen: Listen, source: StatusSource): Promise<StatusServer> {
  const server = createServer({ requestTimeout: REQUEST_MS }, (request, response) =>
    answer(request, response, source),
  );
  server.maxConnections = CONNECTIONS_MAX;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: listen.host, port: listen.port }, () => {
      server.off('error', reject);
      // A listening TCP server's address is an object.
      const { port } = server.address() as AddressInfo;
      const close = (): Promise<void> =>
        new Promise((closed) => {
          server.close(() => closed());
          server.closeAllConnections();
        });
      resolve({ address: { host: listen.host, port }, close });
    });
  });
}

function answer(request: IncomingMessage, response: ServerResponse, source: StatusSource): void {
  const [path] = (request.url ?? '').split('?', 1);
  if (path === '/explain') {
    void answerExplain(request, (asked) => source.explain(asked)).then(({ status, body }) =>
      sendJson(response, status, body),
    );
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    sendJson(response, 405, { message: 'Method not allowed' });
    return;
  }
  const figures = source.figures();
  switch (path) {
    case '/status':
      sendJson(response, 200, statusOf(figures));
      return;
    case '/status/ready': {
      const { status, message } = readinessOf(figures);
      sendJson(response, status, { message });
      return;
    }
    case '/metrics':
      send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', metricsText(figures));
      return;
    default:
      sendJson(response, 404, { message: 'Not found' });
  }
}

function readinessOf(figures: Figures): { status: number; message: string } {
  if (figures.isDraining) return { status: 503, message: 'draining' };
  if (figures.config === null) return { status: 503, message: 'no configuration available' };
  if (figures.isClosed) return { status: 503, message: 'the configuration is stale' };
  return { status: 200, message: 'ready' };
}

function statusOf(figures: Figures): JsonObject {
  const { config, controlPlane } = figures;
  return {
    version: HEADGATE_VERSION,
    ready: readinessOf(figures).status === 200,
    configuration_hash: config?.hash ?? null,
    configuration: config === null ? null : { epoch: config.epoch, revision: config.revision },
    configuration_persisted: controlPlane.persisted,
    control_plane: {
      connected: controlPlane.connected,
      last_error: controlPlane.lastError,
      stale_since: timeOf(controlPlane.staleSinceMs),
    },
    freshness: {
      policy: controlPlane.policy,
      stale: controlPlane.isStale,
      closed: figures.isClosed,
      proven_at: timeOf(controlPlane.provenAtMs),
    },
    server: {
      connections_active: figures.connections,
      requests_in_flight: figures.inFlight,
      tunnels_active: figures.tunnels,
      streams_active: figures.streams.active,
      total_requests: figures.requestsByClass.reduce((sum, count) => sum + count, 0),
    },
    ...quarantineView(figures.quarantined),
    crashed: figures.crashed.map(({ epoch, revision, hash }) => ({ epoch, revision, hash })),
    ...healthView(figures.upstreams),
    memory: { rss_bytes: process.memoryUsage.rss() },
  };
}

/** ISO 8601. */
function timeOf(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}

/** Prometheus' text format. */
export function metricsText(figures: Figures): string {
  const lines: string[] = [];
  const metric = (name: string, type: string, help: string, samples: [string, number][]): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`${name}${labels} ${value}`);
  };
  const classes = [1, 2, 3, 4, 5].map((digit): [string, number] => [
    `{class="${digit}xx"}`,
    figures.requestsByClass[digit] ?? 0,
  ]);
  metric('headgate_http_requests_total', 'counter', 'Answers by status class.', classes);
  const gauge = (name: string, help: string, value: number): void =>
    metric(name, 'gauge', help, [['', value]]);
  gauge('headgate_http_connections', 'Open client connections.', figures.connections);
  gauge('headgate_http_requests_in_flight', 'Requests being answered.', figures.inFlight);
  gauge('headgate_http_tunnels', 'Connections that have switched protocols.', figures.tunnels);
  gauge('headgate_stream_sessions', 'TCP, TLS and UDP sessions.', figures.streams.active);
  metric('headgate_stream_sessions_total', 'counter', 'Stream sessions begun.', [
    ['', figures.streams.accepted],
  ]);
  metric('headgate_stream_datagrams_dropped_total', 'counter', 'Datagrams without room.', [
    ['', figures.streams.datagramsDropped],
  ]);
  gauge('headgate_config_epoch', 'Epoch served; 0 for none.', figures.config?.epoch ?? 0);
  gauge('headgate_config_revision', 'Revision served; 0 for none.', figures.config?.revision ?? 0);
  const connected = figures.controlPlane.connected ? 1 : 0;
  const quarantined = figures.quarantined.length;
  gauge(
    'headgate_config_quarantined',
    'Entities set aside because they cannot be built.',
    quarantined,
  );
  gauge(
    'headgate_config_crashed',
    'Configurations refused because the node crashed with them.',
    figures.crashed.length,
  );
  gauge('headgate_control_plane_connected', '1 with a live session.', connected);
  const { isStale, persisted, provenAtMs } = figures.controlPlane;
  gauge('headgate_config_persisted', '0: would not survive a restart.', persisted ? 1 : 0);
  gauge('headgate_config_stale', '1 when older than the group allows.', isStale ? 1 : 0);
  const provenAt = provenAtMs === null ? 0 : provenAtMs / 1000;
  gauge('headgate_config_proven_timestamp_seconds', 'Last proof that it is the newest.', provenAt);
  metric(
    'headgate_upstream_target_health',
    'gauge',
    'State of each address of the Upstreams: 1 for the one it is in.',
    healthSamples(figures.upstreams),
  );
  metric('headgate_access_log_dropped_total', 'counter', 'Access log lines dropped.', [
    ['', figures.accessLogDropped],
  ]);
  return `${lines.join('\n')}\n`;
}

function sendJson(response: ServerResponse, status: number, body: JsonObject): void {
  send(response, status, 'application/json; charset=utf-8', JSON.stringify(body));
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
  });
  response.end(text);
}
