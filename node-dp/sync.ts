/** The node's session with its control plane: the shared client over this process' ports. */
import { setImmediate } from 'node:timers/promises';
import { request } from 'undici';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { ReplicaState } from '#shared/config/replica.ts';
import type { HealthRegistry } from '#shared/health/registry.ts';
import type { Logger, Platform } from '#shared/platform/platform.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import { SyncClient } from '#shared/sync/client.ts';
import { HealthReporter, setTargetHealth } from '#shared/sync/health-reporter.ts';
import type { IdentityStore } from '#shared/sync/identity.ts';
import { connectorByScheme, PullConnector, type FetchJson } from '#shared/sync/pull-connection.ts';
import type { ClusterLink } from './cluster-link.ts';
import type { ConfigKeeper } from './config-keeper.ts';
import { NodeConnector } from './connector.ts';

/** From the request to the last byte of the answer. */
const PULL_MS_MAX = 60_000;

export interface Sync {
  readonly isConnected: boolean;
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
  readonly link: ClusterLink;
  readonly hostname: string;
}

export async function startSync(options: SyncOptions): Promise<Sync> {
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
    methods: { target_health: (said) => setTargetHealth(options.health, said) },
  });
  const reporter = new HealthReporter({
    sink: client,
    registry: options.health,
    clock: platform.clock,
    resolver: platform.resolver,
  });
  await client.boot(options.cached);
  client.start();
  reporter.start();
  return {
    get isConnected() {
      const { tag } = client.status();
      return tag === 'syncing' || tag === 'live';
    },
    close: async () => {
      reporter.stop();
      await client.stop();
      await link.close();
    },
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
