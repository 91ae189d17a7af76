/** The control plane's composition root: settings in, running parts out. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { getRequestListener, type Http2Bindings, type HttpBindings } from '@hono/node-server';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { loadSettings } from '#shared/platform/node/env.ts';
import { openFallbackStore } from '#shared/platform/node/fallback-store.ts';
import { ensurePrivateDir } from '#shared/platform/node/files.ts';
import { folderFailure } from '#shared/platform/node/start-error.ts';
import type { Running } from '#shared/platform/node/program.ts';
import type { AdjustableLogger, Logger } from '#shared/platform/platform.ts';
import { stillPlatform } from '#shared/proxy/still-platform.ts';
import type { ProcessDeps } from '#shared/schema/process.ts';
import { registryFor } from '#shared/registry.ts';
import {
  CONTROL_PLANE_SETTINGS,
  type ControlPlaneSettings,
} from '#shared/settings/control-plane.ts';
import { AdminTokens } from './access/admin-tokens.ts';
import { Audit } from './access/audit.ts';
import { secretSegments } from './access/audited-path.ts';
import { AccessGuard } from './admin/access.ts';
import { createAdminApp } from './admin/app.ts';
import type { AdminContext } from './admin/context.ts';
import type { Information } from './admin/context.ts';
import { publicConfiguration } from './admin/configuration.ts';
import { sweepKeptAnswers } from './admin/idempotency.ts';
import { randomText } from './admin/random-text.ts';
import { ServerStatus } from './admin/server-status.ts';
import { Publisher } from './changes/publisher.ts';
import { BEAT_MS, ControlPlanes } from './cluster/control-planes.ts';
import { Pace } from './cluster/pace.ts';
import { BootKeys } from './fallback/boot-keys.ts';
import { FallbackExporter } from './fallback/exporter.ts';
import { GroupTables } from './explain/group-tables.ts';
import type { Keks } from './keys/kek.ts';
import type { Keyring } from './keys/keyring.ts';
import { KeyRotation } from './keys/rotation.ts';
import { SigningKeys } from './keys/signing-keys.ts';
import { blockList, type Role, openListeners, unmapped } from './listeners.ts';
import { LogLevelControl } from './log-level.ts';
import { NodeIdentities } from './nodes/identities.ts';
import { JoinTokens } from './nodes/join-tokens.ts';
import { NodeRegistry } from './nodes/registry.ts';
import { openClusterDatabase } from './store/cluster-role.ts';
import type { Db } from './store/db.ts';
import { Receipts } from './receipts/receipts.ts';
import { openStore, type OpenedStore } from './store/open-store.ts';
import { attachSync, type Sync, type SyncOptions } from './sync/server.ts';

/** Of the derived key that makes entity tags; it never rotates. */
const TAG_KEY_GENERATION = 1;
const PORTS = { clock: nodeClock, random: nodeRandom, crypto: nodeCrypto };
/** How often expired rows are removed; reads never show them anyway. */
const SWEEP_INTERVAL_MS = 60_000;

export async function startControlPlane(
  settings: ControlPlaneSettings,
  logger: AdjustableLogger,
): Promise<Running> {
  const dataDir = resolve(settings.HEADGATE_DATA_DIR);
  await ensurePrivateDir(dataDir).catch((error: unknown) => {
    throw folderFailure(dataDir, error);
  });
  const opened = await openStore({
    database: {
      url: settings.HEADGATE_DATABASE_URL,
      driver: settings.HEADGATE_DATABASE_DRIVER,
      dataDir,
      isSleepy: settings.HEADGATE_DATABASE_SLEEP_MINUTES !== null,
    },
    ...keksOf(settings),
    rereadKek: () => keksOf(loadSettings(CONTROL_PLANE_SETTINGS, process.env)),
    registry: registryFor(settings.HEADGATE_ROUTER_FLAVOR),
    moved: settings.HEADGATE_DATABASE_MOVED,
    logger,
  });
  try {
    return await serve(opened, settings, logger);
  } catch (error) {
    await opened.store.close();
    throw error;
  }
}

function keksOf(settings: ControlPlaneSettings): Keks {
  return { kek: settings.HEADGATE_KEK, previousKek: settings.HEADGATE_KEK_PREVIOUS };
}

async function serve(
  opened: OpenedStore,
  settings: ControlPlaneSettings,
  logger: AdjustableLogger,
): Promise<Running> {
  const { store, keyring, epochs } = opened;
  const access = await openAccess(store, keyring, settings, logger);
  const keys = rotationOf(opened, settings, logger);
  const pace = paceOf(settings);
  const db = await openNarrow(opened, settings, logger);
  const parts = nodeParts(opened, { audit: access.audit, db, logger });
  const { registry: nodes, identities, tokens: joinTokens } = parts;
  const common = { opened, pace, db, settings, logger };
  const { publisher, sync, shown } = await startSync({ ...common, nodes: parts });
  const status = new ServerStatus();
  const logLevel = new LogLevelControl({ logger, clock: nodeClock, db: store.db });
  await logLevel.start();
  const admin = adminRole(
    {
      store,
      registry: registryFor(settings.HEADGATE_ROUTER_FLAVOR),
      nodes,
      identities,
      ...keyParts(opened, publisher, logger),
      joinTokens,
      ...access,
      keys,
      epochs,
      ...shown,
      ...explaining(store, settings, logger),
      logLevel,
      ...adminSettings(settings, keyring),
      information: informationOf({ nodes, keyring, settings, status }),
      processDeps,
    },
    settings,
    logger,
  );
  const fallback = startFallback(opened, publisher, settings, logger);
  publisher.start();
  const stopPublishing = async (): Promise<void> => {
    await publisher.close();
    await fallback?.close();
    await nodes.close();
  };
  const roles = { admin: status.counted(admin), cluster: clusterRole(sync) };
  const hasToken = await access.tokens.hasValid();
  const listeners = await openListeners({ settings, roles, hasToken, logger }).catch(
    async (error: unknown) => {
      await sync.drain();
      await stopPublishing();
      throw error;
    },
  );
  const stopSweeping = startSweeping({ store, nodes, audit: access.audit, keys, pace, logger });
  const { admin: adminUrls, cluster } = listeners;
  logger.log('info', 'control plane ready', { admin: adminUrls, cluster });
  return {
    addresses: { admin: adminUrls, cluster },
    close: async () => {
      stopSweeping();
      await logLevel.close();
      await access.tokens.close();
      // Nodes first: they are told to come back, and nothing new can be asked for.
      shown.receipts.close();
      await sync.drain();
      await listeners.close();
      await stopPublishing();
      await keys.close();
      await epochs.close();
      if (db !== store.db) await db.close();
      await store.close();
    },
  };
}

/** What waits for nodes to serve what was written. */
function receiptsOf(at: {
  readonly store: OpenedStore['store'];
  readonly nodes: NodeRegistry;
  readonly publisher: Publisher;
  readonly logger: Logger;
}): Receipts {
  const { store, nodes, publisher, logger } = at;
  const onPublished = (fn: () => void): (() => void) => publisher.onPublished(fn);
  return new Receipts({ db: store.db, registry: nodes, onPublished, clock: nodeClock, logger });
}

/** What is handed out of the cluster's keys, or made of them. */
function keyParts({ store: { db }, keyring }: OpenedStore, publisher: Publisher, logger: Logger) {
  const signingKeys = new SigningKeys({ db, keyring, logger });
  signingKeys.onTaken(() => publisher.wake());
  return { signingKeys, bootKeys: new BootKeys({ db, keyring, crypto: nodeCrypto }) };
}

function rotationOf(
  { store: { db }, keyring }: OpenedStore,
  settings: ControlPlaneSettings,
  logger: Logger,
): KeyRotation {
  const { entities } = registryFor(settings.HEADGATE_ROUTER_FLAVOR);
  return new KeyRotation({ db, keyring, entities, logger });
}

function startSweeping(at: {
  readonly store: OpenedStore['store'];
  readonly nodes: NodeRegistry;
  readonly audit: Audit;
  readonly keys: KeyRotation;
  readonly pace: Pace;
  readonly logger: Logger;
}): () => void {
  // A rotation that another control plane left unfinished goes on here.
  void at.keys.sweep();
  const timer = setInterval(() => {
    void sweep(at);
    void at.keys.sweep();
  }, at.pace.rarely(SWEEP_INTERVAL_MS));
  return () => clearInterval(timer);
}

function informationOf(of: {
  readonly nodes: NodeRegistry;
  readonly keyring: Keyring;
  readonly settings: ControlPlaneSettings;
  readonly status: ServerStatus;
}): Information {
  return {
    hostname: hostname(),
    nodeId: of.nodes.self,
    clusterId: of.keyring.clusterId,
    configuration: publicConfiguration(of.settings),
    serverStatus: () => of.status.report(),
  };
}

/** Who the nodes are, and who may become one. */
function nodeParts(
  { store, keyring }: OpenedStore,
  at: { readonly audit: Audit; readonly db: Db; readonly logger: Logger },
) {
  const { audit, logger } = at;
  const { db } = store;
  return {
    registry: new NodeRegistry({ db: at.db, ...PORTS, logger }),
    identities: new NodeIdentities({ db, logger }),
    tokens: new JoinTokens({ db, keyring, ...PORTS }),
    audit,
  };
}

/** What `/headgate/explain` asks. */
function explaining({ db }: OpenedStore['store'], settings: ControlPlaneSettings, logger: Logger) {
  const routerFlavor = settings.HEADGATE_ROUTER_FLAVOR;
  const registry = registryFor(routerFlavor);
  return {
    groupTables: new GroupTables({ db, registry, crypto: nodeCrypto, routerFlavor }),
    explainPlatform: stillPlatform({ ...PORTS, logger }),
  };
}

function adminSettings(settings: ControlPlaneSettings, keyring: Keyring) {
  return {
    bodyMax: settings.HEADGATE_ADMIN_BODY_MAX,
    dropMaxPercent: settings.HEADGATE_CONFIG_DROP_MAX_PERCENT,
    secretsWriteOnly: settings.HEADGATE_SECRETS_WRITE_ONLY,
    allowUnsupported: settings.HEADGATE_ALLOW_UNSUPPORTED_PLUGINS,
    rowKeys: keyring.rows,
    tagKey: keyring.groupSecret('entity-tags', TAG_KEY_GENERATION),
  };
}

/** What the cluster endpoint reaches the database by. */
async function openNarrow(
  { store }: OpenedStore,
  settings: ControlPlaneSettings,
  logger: Logger,
): Promise<Db> {
  const narrow = {
    url: settings.HEADGATE_CLUSTER_DATABASE_URL,
    driver: settings.HEADGATE_DATABASE_DRIVER,
    dataDir: resolve(settings.HEADGATE_DATA_DIR),
    isSleepy: settings.HEADGATE_DATABASE_SLEEP_MINUTES !== null,
  };
  return (await openClusterDatabase(store.db, narrow, logger)) ?? store.db;
}

function paceOf(settings: ControlPlaneSettings): Pace {
  const minutes = settings.HEADGATE_DATABASE_SLEEP_MINUTES;
  return new Pace({
    pollMs: settings.HEADGATE_POLL_SECONDS * 1000,
    sleepMs: minutes === null ? null : minutes * 60_000,
  });
}

/** What publishes, and what data planes connect to. */
async function startSync({
  opened: { store, keyring, epochs },
  nodes,
  pace,
  db,
  settings,
  logger,
}: {
  readonly opened: OpenedStore;
  readonly pace: Pace;
  readonly db: Db;
  readonly nodes: Pick<SyncOptions, 'registry' | 'identities' | 'tokens' | 'audit'>;
  readonly settings: ControlPlaneSettings;
  readonly logger: Logger;
}): Promise<{
  readonly publisher: Publisher;
  readonly sync: Sync;
  readonly shown: Pick<AdminContext, 'calls'> & {
    readonly planes: ControlPlanes;
    readonly receipts: Receipts;
  };
}> {
  const { pollMs } = pace;
  const planes = new ControlPlanes({
    db,
    self: nodes.registry.self,
    urls: settings.HEADGATE_CLUSTER_URLS,
    hostname: hostname(),
    clock: nodeClock,
    logger,
    beatMs: () => pace.after(BEAT_MS),
  });
  planes.onBeat((peers) => pace.share(peers.length > 0));
  store.onCommit(() => planes.nudge());
  // Before anything is published: the manifests name it.
  await planes.start();
  const publisher = new Publisher({
    store,
    keyring,
    epochs,
    registry: registryFor(settings.HEADGATE_ROUTER_FLAVOR),
    pollMs,
    ...PORTS,
    logger,
  });
  // What is sealed with a secret that was replaced must not be the newest for longer than need be.
  nodes.identities.onSecretReplaced(() => publisher.wake());
  const sync = await attachSync({
    store,
    db,
    keyring,
    publisher,
    ...nodes,
    trusted: blockList(settings.HEADGATE_TRUSTED_TERMINATOR),
    hosts: settings.HEADGATE_CLUSTER_HOSTS,
    epochs,
    planes,
    pollMs,
    ...PORTS,
    logger,
  });
  const receipts = receiptsOf({ store, nodes: nodes.registry, publisher, logger });
  await receipts.start();
  return { publisher, sync, shown: { planes, receipts, calls: sync.calls } };
}

/** Copies to the fallback storage; null without one. */
function startFallback(
  { store: { db }, keyring }: OpenedStore,
  publisher: Publisher,
  settings: ControlPlaneSettings,
  logger: Logger,
): FallbackExporter | null {
  const store = openFallbackStore(settings);
  if (store === null) return null;
  const exporter = new FallbackExporter({ db, keyring, store, ...PORTS, logger });
  publisher.onPublished(() => exporter.wake());
  exporter.wake();
  return exporter;
}

/** Who may use the Admin API, and what they did. */
async function openAccess(
  { db }: OpenedStore['store'],
  keyring: Keyring,
  settings: ControlPlaneSettings,
  logger: Logger,
): Promise<{ tokens: AdminTokens; audit: Audit }> {
  const audit = new Audit({
    db,
    keys: keyring.rows,
    clock: nodeClock,
    logger,
    days: settings.HEADGATE_AUDIT_DAYS,
    secretSegments: secretSegments(registryFor(settings.HEADGATE_ROUTER_FLAVOR).entities),
    trusted: blockList(settings.HEADGATE_TRUSTED_TERMINATOR),
  });
  const tokens = new AdminTokens({ db, clock: nodeClock, logger });
  await tokens.start();
  return { tokens, audit };
}

function processDeps(): ProcessDeps {
  return { nowSeconds: Date.now() / 1000, uuid: nodeRandom.uuid, randomText };
}

function adminRole(
  context: Parameters<typeof createAdminApp>[0],
  settings: ControlPlaneSettings,
  logger: Logger,
): Role {
  const policy = {
    token: settings.HEADGATE_ADMIN_TOKEN,
    isLoopbackOpen: settings.HEADGATE_ADMIN_LOOPBACK === 'on',
    hosts: settings.HEADGATE_ADMIN_HOSTS,
    origins: settings.HEADGATE_ADMIN_ORIGINS,
  };
  const guard = new AccessGuard(policy, context.tokens);
  const app = createAdminApp(context, guard, logger);
  const request = getRequestListener(
    (incoming, env) => app.fetch(incoming, { peer: peerOf(env), target: env.incoming.url ?? '/' }),
    { overrideGlobalObjects: false },
  );
  return { request, upgrade: (_request, socket) => socket.destroy() };
}

/** Address of the connected socket. */
function peerOf(env: HttpBindings | Http2Bindings): string {
  return unmapped(env.incoming.socket?.remoteAddress ?? '');
}

function clusterRole(sync: Sync): Role {
  return {
    request: getRequestListener((request, env) => sync.pull(request, peerOf(env)), {
      overrideGlobalObjects: false,
    }),
    upgrade: (request, socket, head) => sync.upgrade(request, socket, head),
  };
}

async function sweep({
  store,
  nodes,
  audit,
  logger,
}: Pick<
  Parameters<typeof startSweeping>[0],
  'store' | 'nodes' | 'audit' | 'logger'
>): Promise<void> {
  try {
    await store.sweepExpired();
    await audit.sweep();
    await nodes.sweep(store.db);
    await sweepKeptAnswers(store.db);
  } catch (error) {
    // Reads hide expired rows, and old ones of the audit do no harm; the next round tries again.
    logger.log('warn', 'expired rows were not removed', { error: String(error) });
  }
}
