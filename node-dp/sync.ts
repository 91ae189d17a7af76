/** The node's session with its control plane: the shared client over this process' ports. */
import { rootCertificates } from 'node:tls';
import { Agent, request } from 'undici';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { ReplicaState } from '#shared/config/replica.ts';
import type { HealthRegistry } from '#shared/health/registry.ts';
import type { Logger, Platform } from '#shared/platform/platform.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import { SyncClient } from '#shared/sync/client.ts';
import { HealthReporter, setTargetHealth } from '#shared/sync/health-reporter.ts';
import type { IdentityStore } from '#shared/sync/identity.ts';
import { connectorByScheme, PullConnector, type FetchJson } from '#shared/sync/pull-connection.ts';
import { FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';
import { NodeConnector } from './connector.ts';
import type { ConfigKeeper } from './config-keeper.ts';

/** From the request to the last byte of the answer. */
const PULL_MS_MAX = 60_000;
/** A pull brings a few frames; a UTF-16 unit takes at most three bytes. */
const PULL_BYTES_MAX = FRAME_LENGTH_MAX * 3 * 4;

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
  /** PEM of a private CA; null for none. */
  readonly ca: string | null;
  readonly hostname: string;
}

export async function startSync(options: SyncOptions): Promise<Sync> {
  const { settings, platform, keeper, ca } = options;
  const trusted = ca === null ? null : [...rootCertificates, ca];
  const agent = new Agent({
    allowH2: false,
    maxResponseSize: PULL_BYTES_MAX,
    ...(trusted === null ? {} : { connect: { ca: trusted } }),
  });
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
      new NodeConnector(trusted),
      new PullConnector(fetchJsonOver(agent), platform.clock),
    ),
    clock: platform.clock,
    random: platform.random,
    crypto: platform.crypto,
    logger: options.logger,
    identities: options.identities,
    configs: keeper.store,
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
      await agent.destroy();
    },
  };
}

function fetchJsonOver(agent: Agent): FetchJson {
  return async (method, url, body) => {
    const response = await request(url, {
      method,
      body,
      dispatcher: agent,
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
