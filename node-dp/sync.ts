/** The node's session with its control plane: the shared client over this process' ports. */
import { setImmediate } from 'node:timers/promises';
import { request } from 'undici';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { ReplicaState } from '#shared/config/replica.ts';
import type { HealthRegistry } from '#shared/health/registry.ts';
import type { Logger, Platform } from '#shared/platform/platform.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import { SyncClient } from '#shared/sync/client.ts';
import { FreshnessKeeper, type FreshnessView } from '#shared/sync/freshness-keeper.ts';
import { HealthReporter } from '#shared/sync/health-reporter.ts';
import type { Handlers } from '#shared/sync/rpc.ts';
import type { DownMethods } from '#shared/wire/rpc-methods.ts';
import type { IdentityStore } from '#shared/sync/identity.ts';
import { connectorByScheme, PullConnector, type FetchJson } from '#shared/sync/pull-connection.ts';
import type { ClusterLink } from './cluster-link.ts';
import type { ConfigKeeper } from './config-keeper.ts';
import { NodeConnector } from './connector.ts';
import { fileText } from './file-text.ts';
import type { ControlPlaneFigures } from './status.ts';

/** From the request to the last byte of the answer. */
const PULL_MS_MAX = 60_000;

export interface Sync {
  /** Connects. Until then it only knows what was kept. */
  start(): void;
  view(): ControlPlaneFigures;
  close(): Promise<void>;
}

export interface SyncOptions {
  readonly settings: DataPlaneSettings;
  readonly logger: Logger;
  readonly platform: Platform;
  readonly keeper: ConfigKeeper;
  readonly health: HealthRegistry;
  readonly identities: IdentityStore;
  /** What is served from the cache; null for nothing. */
  readonly cached: ReplicaState | null;
  /** Where the time of the last proof of freshness is kept. */
  readonly freshnessPath: string;
  /** Called when the configuration becomes too old for its group, and when it is fresh again. */
  readonly onFreshness: (view: FreshnessView) => void;
  readonly link: ClusterLink;
  /** What a control plane may ask of this node. */
  readonly methods: Handlers<DownMethods>;
  readonly hostname: string;
}

export async function openSync(options: SyncOptions): Promise<Sync> {
  const { settings, platform, keeper, link } = options;
  const client = new SyncClient({
    controlPlanes: settings.HEADGATE_CONTROL_PLANES,
    joinToken: settings.HEADGATE_JOIN_TOKEN,
    about: {
      hostname: options.hostname,
      version: HEADGATE_VERSION,
      runtime: 'node',
      labels: labelsOf(settings.HEADGATE_CLUSTER_DP_LABELS),
      features: [],
    },
    connector: connectorByScheme(
      new NodeConnector(link),
      new PullConnector(fetchJsonOver(link), platform.clock),
    ),
    clock: platform.clock,
    random: platform.random,
    crypto: platform.crypto,
    logger: options.logger,
    identities: options.identities,
    configs: keeper.store,
    giveWay: () => setImmediate(),
    onReplica: (state, identity) => keeper.take(state, identity.groupSecrets),
    onJoined: () => freshness.wake(),
    methods: options.methods,
  });
  const reporter = new HealthReporter({
    sink: client,
    registry: options.health,
    clock: platform.clock,
    resolver: platform.resolver,
  });
  const freshness = new FreshnessKeeper({
    client,
    ...platform,
    place: fileText(options.freshnessPath),
    onChange: options.onFreshness,
  });
  keeper.onLastResort((state) => client.serveAfterAll(state));
  await client.boot(options.cached);
  await freshness.open();
  return {
    start: () => {
      client.start();
      reporter.start();
      freshness.start();
    },
    view: () => viewOf(client, freshness, platform.clock.now()),
    close: async () => {
      reporter.stop();
      freshness.stop();
      await client.stop();
      await link.close();
    },
  };
}

function viewOf(
  client: SyncClient,
  freshness: FreshnessKeeper,
  wallMs: number,
): ControlPlaneFigures {
  const { tag, lastError, persisted, staleSinceMs } = client.status();
  const { ageMs, ...policy } = freshness.view();
  return {
    connected: tag === 'syncing' || tag === 'live',
    lastError,
    persisted,
    staleSinceMs,
    provenAtMs: ageMs === null || !Number.isFinite(ageMs) ? null : Math.round(wallMs - ageMs),
    ...policy,
  };
}

function fetchJsonOver(link: ClusterLink): FetchJson {
  return async (method, url, body) => {
    const response = await request(url, {
      method,
      body,
      dispatcher: link.dispatcher(),
      signal: AbortSignal.timeout(PULL_MS_MAX),
      headers: body === null ? {} : { 'content-type': 'application/json' },
    });
    const retryAfter = Number(response.headers['retry-after']);
    return {
      status: response.statusCode,
      text: await response.body.text(),
      retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : null,
    };
  };
}

/** `key:value` texts, checked when the settings were read. */
function labelsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const colon = text.indexOf(':');
      return [text.slice(0, colon), text.slice(colon + 1)];
    }),
  );
}
