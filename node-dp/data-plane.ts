/**
 * The Node data plane, put together. Start: folder → identity → cache → tables → age → listen → connect.
 * Stop: not ready → no new connections → what is in flight → sync → the rest.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ReplicaState } from '#shared/config/replica.ts';
import { openFallbackStore } from '#shared/platform/node/fallback-store.ts';
import {
  acquireLock,
  ensurePrivateDir,
  LockedError,
  sweepTemporaries,
} from '#shared/platform/node/files.ts';
import type { AdjustableLogger, Logger } from '#shared/platform/platform.ts';
import type { Running } from '#shared/platform/node/program.ts';
import { folderFailure, listenFailure, StartError } from '#shared/platform/node/start-error.ts';
import { Gateway, type ProxySettings } from '#shared/proxy/gateway.ts';
import { proxySettings } from '#shared/proxy/settings.ts';
import type { DataPlaneSettings } from '#shared/settings/data-plane.ts';
import { parseListens, type Listen } from '#shared/settings/listen.ts';
import type { IdentityStore, NodeIdentity, StoredIdentity } from '#shared/sync/identity.ts';
import { AccessLog } from './access-log.ts';
import { createResolver } from './dns/setup.ts';
import { ClusterLink } from './cluster-link.ts';
import { ConfigKeeper } from './config-keeper.ts';
import { loadFallback } from './fallback.ts';
import { fileIdentityStore } from './identity-store.ts';
import { Listener, type ListenerAddress } from './listener.ts';
import { createPlatform, type NodePlatform } from './platform.ts';
import { RemoteControl } from './remote-control.ts';
import { Prober } from './probes/prober.ts';
import { logHealthChange, upstreamHealth } from './health-view.ts';
import { Serving } from './serving.ts';
import { Streams } from './stream/streams.ts';
import { NO_CONTROL_PLANE, startStatusServer, type Figures, type StatusServer } from './status.ts';
import { openSync, type Sync } from './sync.ts';
import type { CertificateTable } from '#shared/tables/certificates.ts';
import { CertificateContexts } from './tls/contexts.ts';
import { openDefaultCertificate, readTlsSetup, type TlsSetup } from './tls/setup.ts';
import { TlsTermination } from './tls/termination.ts';

/** What is left to background work and connections once the requests are done. */
const CLOSE_MS = 1000;
/** When it was last proven that the configuration is the newest. */
const FRESHNESS_FILE = 'fresh';

/** @throws StartError with one line that names what stopped it */
export async function startDataPlane(
  settings: DataPlaneSettings,
  logger: AdjustableLogger,
): Promise<Running> {
  const dataPlane = new DataPlane(settings, await readTlsSetup(settings), logger);
  try {
    await dataPlane.start();
  } catch (error) {
    await dataPlane.close();
    throw error;
  }
  return dataPlane;
}

class DataPlane implements Running {
  readonly #settings: DataPlaneSettings;
  readonly #tls: TlsSetup;
  readonly #logger: Logger;
  readonly #control: RemoteControl;
  readonly #platform: NodePlatform;
  readonly #accessLog: AccessLog | null;
  readonly #proxySettings: ProxySettings;
  readonly #gateway: Gateway;
  readonly #prober: Prober;
  readonly #serving: Serving;
  readonly #requestsByClass = [0, 0, 0, 0, 0, 0];
  readonly #addresses: Record<string, string[]> = { proxy: [], stream: [], status: [] };
  #listeners: Listener[] = [];
  #streams: Streams | null = null;
  #statusServers: StatusServer[] = [];
  #keeper: ConfigKeeper | null = null;
  #sync: Sync | null = null;
  #closeTls: () => Promise<void> = async () => {};
  #unlock: () => void = () => {};
  #isDraining = false;

  constructor(settings: DataPlaneSettings, tls: TlsSetup, logger: AdjustableLogger) {
    this.#settings = settings;
    this.#tls = tls;
    this.#logger = logger;
    this.#platform = createPlatform(logger, tls.trusted, createResolver(settings, logger));
    const writesAccessLog = settings.HEADGATE_PROXY_ACCESS_LOG === 'stdout';
    this.#accessLog = writesAccessLog ? new AccessLog(process.stdout, logger) : null;
    const accessLog = this.#accessLog;
    this.#proxySettings = readProxySettings(settings);
    this.#gateway = new Gateway({
      platform: this.#platform,
      settings: this.#proxySettings,
      accessLog: accessLog === null ? null : (entry) => accessLog.write(entry),
    });
    this.#control = new RemoteControl({
      ...this.#platform,
      logger,
      health: this.#gateway.health,
      connections: () => this.#connections,
    });
    this.#gateway.health.subscribe((change) => logHealthChange(logger, change));
    const { upstreamTls } = this.#platform;
    this.#prober = new Prober({ ...this.#platform, tls: upstreamTls });
    const contexts = new CertificateContexts(tls.policy);
    const terms = {
      routerFlavor: settings.HEADGATE_ROUTER_FLAVOR,
      certificateFault: (certificate: CertificateTable) => contexts.fault(certificate),
      upstreamTls: tls.upstream,
    };
    this.#serving = new Serving(this.#gateway, this.#platform.crypto, logger, terms, (tables) =>
      this.#prober.adopt(tables),
    );
  }

  get addresses(): Running['addresses'] {
    return this.#addresses;
  }

  async start(): Promise<void> {
    const folder = join(this.#settings.HEADGATE_DATA_DIR, 'dp');
    await this.#takeFolder(folder);
    await sweepTemporaries(folder);
    const identityPath = join(folder, 'node.json');
    const identities = fileIdentityStore(identityPath);
    const identity = await loadIdentity(identities, identityPath);
    const keeper = await ConfigKeeper.open({
      folder,
      platform: this.#platform,
      logger: this.#logger,
      serving: this.#serving,
    });
    this.#keeper = keeper;
    const joined = identity?.tag === 'joined' ? identity : null;
    const restored = joined === null ? null : await keeper.restore(joined);
    // Until it is known how old is what is found.
    this.#gateway.setClosed(true);
    const tls = await this.#openTermination(folder);
    if (restored === null) await this.#listen(tls);
    const cached = restored ?? (await this.#startFromFallback(keeper, joined));
    this.#sync = await openSync({
      settings: this.#settings,
      logger: this.#logger,
      platform: this.#platform,
      keeper,
      health: this.#gateway.health,
      identities,
      cached,
      link: new ClusterLink(this.#settings, this.#logger),
      freshnessPath: join(folder, FRESHNESS_FILE),
      onFreshness: ({ isClosed }) => this.#gateway.setClosed(isClosed),
      methods: this.#control.methods,
      hostname: hostname(),
    });
    if (restored !== null) await this.#listen(tls);
    this.#sync.start();
    this.#logger.log('info', 'data plane started', {
      proxy: this.#addresses['proxy'] ?? [],
      stream: this.#addresses['stream'] ?? [],
      status: this.#addresses['status'] ?? [],
    });
  }

  /** Serves the copy in the fallback storage, where there is one; null otherwise. */
  async #startFromFallback(
    keeper: ConfigKeeper,
    identity: NodeIdentity | null,
  ): Promise<ReplicaState | null> {
    const store = openFallbackStore(this.#settings);
    if (store === null) return null;
    const { HEADGATE_BOOT_KEY: bootKey, HEADGATE_JOIN_TOKEN: joinToken } = this.#settings;
    const { crypto } = this.#platform;
    const logger = this.#logger;
    const group = identity?.group ?? this.#settings.HEADGATE_GROUP;
    const wanted = { store, group, bootKey, joinToken, identity, crypto, logger };
    const found = await loadFallback(wanted);
    if (found === null) return null;
    const outcome = await keeper.take(found.state, found.groupSecrets);
    if (!outcome.ok) return null;
    // A node that has not joined yet saves it when it has: before, nothing would prove it.
    if (identity !== null) await keeper.keep(found.state);
    return found.state;
  }

  async close(): Promise<void> {
    this.#isDraining = true;
    const drainMs = this.#settings.HEADGATE_DRAIN_SECONDS * 1000;
    await Promise.all([
      ...this.#listeners.map((listener) => listener.drain(drainMs)),
      this.#streams?.drain(drainMs),
    ]);
    this.#prober.close();
    this.#control.close();
    await this.#sync?.close();
    await this.#keeper?.close();
    await Promise.all(this.#statusServers.map((server) => server.close()));
    await this.#platform.close(CLOSE_MS);
    await this.#closeTls();
    this.#accessLog?.flush();
    this.#unlock();
  }

  async #takeFolder(folder: string): Promise<void> {
    try {
      await ensurePrivateDir(folder);
      const lock = acquireLock(join(folder, 'lock'));
      this.#unlock = () => lock.release();
    } catch (error) {
      if (error instanceof LockedError) {
        throw new StartError(
          `the folder ${folder} (HEADGATE_DATA_DIR) is in use by the running process ${error.pid}`,
          { cause: error },
        );
      }
      throw folderFailure(folder, error);
    }
  }

  async #listen(tls: TlsTermination | null): Promise<void> {
    const { HEADGATE_PROXY_LISTEN: proxy, HEADGATE_STATUS_LISTEN: status } = this.#settings;
    await Promise.all(parseListens(proxy).map((listen) => this.#listenProxy(listen, tls)));
    await this.#listenStreams(tls);
    await Promise.all(parseListens(status).map((listen) => this.#listenStatus(listen)));
  }

  async #listenProxy(listen: Listen, tls: TlsTermination | null): Promise<void> {
    const { trustedIps } = this.#proxySettings;
    if (listen.proxyProtocol === true && !trustedIps.believesConnections) {
      this.#logger.log('warn', 'PROXY headers are read, and believed of nobody', {
        listen: `${listen.host}:${listen.port}`,
        missing: 'HEADGATE_REAL_IP_HEADER=proxy_protocol and HEADGATE_TRUSTED_IPS',
      });
    }
    const listener = new Listener({
      listen,
      tls,
      connectionsMax: this.#settings.HEADGATE_MAX_CONNECTIONS,
      random: this.#platform.random,
      believesPeer: (address) => trustedIps.believesConnectionOf(address),
      handle: (request) => this.#gateway.handle(request),
      onResponse: (status) => this.#count(status),
    });
    let address: ListenerAddress;
    try {
      address = await listener.start();
    } catch (error) {
      throw listenFailure('HEADGATE_PROXY_LISTEN', listen, error);
    }
    this.#listeners.push(listener);
    this.#addresses['proxy']?.push(urlOf(address.tls ? 'https' : 'http', address));
  }

  async #listenStreams(tls: TlsTermination | null): Promise<void> {
    const { HEADGATE_STREAM_LISTEN: listens, HEADGATE_MAX_CONNECTIONS: sessionsMax } =
      this.#settings;
    const accessLog = this.#accessLog;
    const streams = new Streams({
      platform: this.#platform,
      tables: () => this.#gateway.served,
      upstreamActiveMax: this.#settings.HEADGATE_UPSTREAM_MAX_ACTIVE_REQUESTS,
      targetActiveMax: this.#settings.HEADGATE_TARGET_MAX_ACTIVE_REQUESTS,
      accessLog: accessLog === null ? null : (entry) => accessLog.write(entry),
      sessionsMax,
      believesPeer: (address) => this.#proxySettings.trustedIps.trustsPeer(address),
      contextFor: (serverName) => tls?.contextFor(serverName) ?? null,
      upstreamTls: this.#platform.upstreamTls,
    });
    this.#streams = streams;
    for (const listen of parseListens(listens)) {
      this.#addresses['stream']?.push(await streams.listen(listen));
    }
  }

  async #listenStatus(listen: Listen): Promise<void> {
    try {
      const server = await startStatusServer(listen, {
        figures: () => this.#figures(),
        explain: (asked) => this.#gateway.explain(asked),
      });
      this.#statusServers.push(server);
      this.#addresses['status']?.push(urlOf('http', server.address));
    } catch (error) {
      throw listenFailure('HEADGATE_STATUS_LISTEN', listen, error);
    }
  }

  /** Null when no listener needs it. */
  async #openTermination(folder: string): Promise<TlsTermination | null> {
    const { HEADGATE_PROXY_LISTEN: proxy, HEADGATE_STREAM_LISTEN: stream } = this.#settings;
    const isWanted = [...parseListens(proxy), ...parseListens(stream)].some(({ tls }) => tls);
    if (!isWanted) return null;
    const fallback = await openDefaultCertificate(this.#settings, folder, this.#logger);
    const { policy, clients } = this.#tls;
    const termination = new TlsTermination({
      policy,
      clients,
      fallback,
      certificates: () => this.#gateway.tables?.certificates ?? null,
    });
    this.#closeTls = async () => {
      termination.close();
      await fallback.close();
    };
    return termination;
  }

  #count(status: number): void {
    const digit = Math.trunc(status / 100);
    const count = this.#requestsByClass[digit];
    if (count !== undefined) this.#requestsByClass[digit] = count + 1;
  }

  get #connections(): number {
    return this.#listeners.reduce((total, { connectionCount }) => total + connectionCount, 0);
  }

  #figures(): Figures {
    const { tables } = this.#gateway;
    const sum = (of: (listener: Listener) => number): number =>
      this.#listeners.reduce((total, listener) => total + of(listener), 0);
    return {
      isDraining: this.#isDraining || this.#control.isDraining,
      config:
        tables === null
          ? null
          : { epoch: tables.epoch, revision: tables.revision, hash: tables.hash },
      isClosed: this.#gateway.isClosed,
      controlPlane: this.#sync?.view() ?? NO_CONTROL_PLANE,
      connections: this.#connections,
      inFlight: sum((listener) => listener.inFlight),
      requestsByClass: this.#requestsByClass,
      tunnels: sum((listener) => listener.tunnelCount),
      streams: this.#streams?.figures ?? { active: 0, accepted: 0, datagramsDropped: 0 },
      accessLogDropped: this.#accessLog?.dropped ?? 0,
      quarantined: tables?.quarantined ?? [],
      crashed: this.#keeper?.crashed ?? [],
      upstreams: upstreamHealth(this.#gateway.health, this.#platform.clock.monotonic()),
    };
  }
}

/** Enrolling anew over an identity that cannot be read would lose a node that others know. */
async function loadIdentity(store: IdentityStore, path: string): Promise<StoredIdentity | null> {
  try {
    return await store.load();
  } catch (error) {
    throw new StartError(
      `the identity of this node, ${path}, cannot be used: restore it, or delete it and set ` +
        'HEADGATE_JOIN_TOKEN to enrol as a new node',
      { cause: error },
    );
  }
}

function readProxySettings(settings: DataPlaneSettings): ProxySettings {
  const parsed = proxySettings(settings);
  if (parsed.ok) return parsed.value;
  throw new StartError(
    `HEADGATE_TRUSTED_IPS holds ${JSON.stringify(parsed.item)}: ` +
      'expected IP addresses or CIDR blocks such as 10.0.0.0/8',
  );
}

function urlOf(scheme: string, address: { host: string; port: number }): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${scheme}://${host}:${address.port}`;
}
