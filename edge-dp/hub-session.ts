/**
 * The hub's session with its control plane: the shared client over a Durable Object's ports.
 *
 * A configuration is built here once before isolates see it, so that one that cannot be built is
 * refused by the node and not by every isolate for itself. One that ends the object (too much memory, too
 * much time) is tried twice: then it is refused as well, and no isolate has ever seen it.
 */
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import { ForAWhile } from '#shared/base/for-a-while.ts';
import { hex } from '#shared/base/bytes.ts';
import { SecretOpener } from '#shared/config/opening.ts';
import { positionOf, type ReplicaState } from '#shared/config/replica.ts';
import { pepperFor } from '#shared/config/secrets.ts';
import { HANDLERS } from '#shared/plugins/handlers.ts';
import type { ConfigStore, AdjustableLogger } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { Breaker } from '#shared/sync/breaker.ts';
import { type BuildOutcome, SyncClient } from '#shared/sync/client.ts';
import { FreshnessKeeper } from '#shared/sync/freshness-keeper.ts';
import { HealthReporter, setTargetHealth } from '#shared/sync/health-reporter.ts';
import { type NodeIdentity, textIdentityStore } from '#shared/sync/identity.ts';
import { connectorByScheme, PullConnector } from '#shared/sync/pull-connection.ts';
import { buildTables } from '#shared/tables/build.ts';
import type { Tables } from '#shared/tables/tables.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { EdgeSettings } from '#shared/settings/edge.ts';
import { FetchConnector, fetchJson } from './connector.ts';
import { edgeCrypto } from './crypto.ts';
import type { IsolateRefusal } from './hub-api.ts';
import { IsolateLevels } from './isolate-levels.ts';
import type { HubHealth } from './hub-health.ts';
import type { HubStore } from './hub-store.ts';
import { edgeClock, edgeRandom } from './platform.ts';

/** Refusals of isolates that are remembered, and how long each may be. */
const REFUSALS_MAX = 16;
const REFUSAL_LENGTH_MAX = 500;

/** What was verified and built, as isolates are told of it. */
export interface HubHead {
  readonly signed: SignedManifest;
  readonly hash: string;
  readonly level: number;
}

export interface HubSessionOptions {
  readonly settings: EdgeSettings;
  readonly store: HubStore;
  readonly logger: AdjustableLogger;
  readonly health: HubHealth;
  /** Who the node is, or what secrets it has, is known or has changed. */
  readonly onIdentity: (identity: NodeIdentity) => void;
  /** There is a new head in the store. */
  readonly onSaved: () => void;
}

export class HubSession {
  readonly #options: HubSessionOptions;
  readonly #client: SyncClient;
  readonly #reporter: HealthReporter;
  readonly #freshness: FreshnessKeeper;
  #breaker: Breaker | null = null;
  /** What isolates could not build although it was built here, newest last. */
  readonly #refusals: IsolateRefusal[] = [];
  /** Of the last build, for the next one to share. */
  #tables: Tables | null = null;
  readonly #opener = new SecretOpener(edgeCrypto);
  #head: HubHead | null = null;
  readonly #levels: IsolateLevels;
  /** Level that the session was asked for last; null: none yet. */
  #askedLevel: number | null = null;
  #isToldIdle = false;

  constructor(options: HubSessionOptions) {
    const { settings, store, logger, onIdentity } = options;
    this.#options = options;
    const level = new ForAWhile(logger.level, edgeClock, (to) => logger.setLevel(to));
    this.#levels = new IsolateLevels(store, edgeClock, keptLevel(store));
    this.#client = new SyncClient({
      level: () => (this.#askedLevel = this.#levels.level),
      controlPlanes: settings.HEADGATE_CONTROL_PLANES,
      joinToken: settings.HEADGATE_JOIN_TOKEN,
      about: {
        hostname: settings.HEADGATE_DEPLOYMENT,
        version: HEADGATE_VERSION,
        runtime: 'edge',
        labels: {},
        features: [],
      },
      connector: connectorByScheme(
        new FetchConnector(edgeClock),
        new PullConnector(fetchJson, edgeClock),
      ),
      clock: edgeClock,
      random: edgeRandom,
      crypto: edgeCrypto,
      logger,
      identities: textIdentityStore({
        read: async () => store.getMeta('identity'),
        write: async (text) => store.setMeta('identity', text),
      }),
      configs: this.#configs(),
      onReplica: (state, identity) => this.#try(state, identity),
      onJoined: () => this.#freshness.wake(),
      methods: {
        target_health: (said) => setTargetHealth(options.health.registry, said),
        // The hub's own: isolates come and go.
        log_level: (to) => {
          level.set(to.level, to.seconds);
          return { level: level.current };
        },
      },
      onIdentity,
    });
    const { registry } = options.health;
    this.#freshness = new FreshnessKeeper({
      client: this.#client,
      clock: edgeClock,
      random: edgeRandom,
      crypto: edgeCrypto,
      logger,
      place: store.place('fresh'),
    });
    this.#reporter = new HealthReporter({
      sink: this.#client,
      registry,
      clock: edgeClock,
      resolver: null,
    });
  }

  /** What was stored, verified and built again; before anything else. */
  async restore(): Promise<void> {
    const { store, logger } = this.#options;
    this.#breaker = await Breaker.open({
      place: store.place('trials'),
      clock: edgeClock,
      logger,
      release: HEADGATE_VERSION,
      // It is isolates that serve: here, what could be built is done.
      healthyMs: 0,
    });
    if (await this.#client.boot()) this.#readHead();
    await this.#freshness.open();
  }

  /** Milliseconds since it was proven that the head is the newest there is; null: never, that we know. */
  provenAgeMs(): number | null {
    const { ageMs } = this.#freshness.view();
    return ageMs !== null && Number.isFinite(ageMs) ? ageMs : null;
  }

  /** An isolate goes on with what it had; the control plane is to hear of it, once for each manifest. */
  refusedByIsolate(refusal: IsolateRefusal): void {
    if (this.#refusals.some(({ hash }) => hash === refusal.hash)) return;
    const detail = refusal.detail.slice(0, REFUSAL_LENGTH_MAX);
    this.#refusals.push({ ...refusal, detail });
    if (this.#refusals.length > REFUSALS_MAX) this.#refusals.shift();
    this.#options.logger.log('error', 'an isolate refused a configuration', { ...refusal, detail });
    this.#client.tellError(`an isolate refused revision ${refusal.revision}: ${detail}`);
  }

  /** Dials, unless it is at it already. */
  start(): void {
    if (this.#options.settings.HEADGATE_CONTROL_PLANES.length > 0) {
      this.#matchLevel();
      this.#client.start();
      this.#reporter.start();
      this.#freshness.start();
      return;
    }
    if (this.#isToldIdle) return;
    this.#isToldIdle = true;
    this.#options.logger.log('warn', 'HEADGATE_CONTROL_PLANES is empty: nothing to connect to');
  }

  /** What isolates are told to serve; null for nothing. */
  head(): HubHead | null {
    return this.#head;
  }

  /** As `head`, for an isolate that reads so far. */
  headFor(level: number = 1): HubHead | null {
    return this.#head !== null && this.#head.level <= level ? this.#head : null;
  }

  /** An isolate of another release may read less: then that is what all are to have. */
  heardIsolate(level: number | undefined): void {
    this.#levels.heard(level);
    this.#matchLevel();
  }

  #matchLevel(): void {
    if (this.#askedLevel === null || this.#askedLevel === this.#levels.level) return;
    const fields = { level: this.#levels.level };
    this.#options.logger.log('info', 'asking for what isolates of both releases read', fields);
    this.#askedLevel = null;
    void this.#client.stop();
    this.#client.start();
  }

  status(): JsonObject {
    const status = this.#client.status();
    return {
      node: this.#client.identity?.node ?? null,
      cluster: this.#client.identity?.cluster ?? null,
      group: this.#client.identity?.group ?? null,
      state: status.tag,
      control_plane: status.controlPlane,
      epoch: status.epoch,
      revision: status.revision,
      configuration_hash: status.hash,
      stale_since_ms: status.staleSinceMs,
      last_error: status.lastError,
      crashed: (this.#breaker?.crashed ?? []).map(({ epoch, revision, hash }) => {
        return { epoch, revision, hash };
      }),
      refused_by_isolates: this.#refusals.map((one) => ({ ...one })),
      proven_age_ms: this.provenAgeMs(),
      stale: this.#freshness.view().isStale,
    };
  }

  #configs(): ConfigStore {
    const { store, onSaved } = this.#options;
    return {
      load: () => store.load(),
      save: async (config) => {
        await store.save(config);
        this.#readHead();
        onSaved();
      },
    };
  }

  #readHead(): void {
    const signed = this.#options.store.head();
    this.#head = signed === null ? null : headOf(signed);
  }

  #try(state: ReplicaState, identity: NodeIdentity): Promise<BuildOutcome> {
    const build = (): Promise<BuildOutcome> => this.#build(state, identity);
    return this.#breaker === null ? build() : this.#breaker.guard(positionOf(state), build);
  }

  async #build(state: ReplicaState, identity: NodeIdentity): Promise<BuildOutcome> {
    const { groupSecrets } = identity;
    const pepper = pepperFor(groupSecrets, state.replica.secretGeneration, edgeCrypto);
    const deps = {
      handlers: HANDLERS,
      runtime: 'edge',
      crypto: edgeCrypto,
      pepper,
      routerFlavor: this.#options.settings.HEADGATE_ROUTER_FLAVOR,
      health: this.#options.health.registry,
    } as const;
    const replica = await this.#opener.open(state, groupSecrets);
    const built = buildTables(replica, deps, this.#tables);
    if (built.ok) {
      this.#tables = built.tables;
      this.#options.health.adopt(built.tables);
    }
    return built;
  }
}

function headOf(signed: SignedManifest): HubHead {
  // It was verified before it was saved, and again when it was restored.
  const { level } = JSON.parse(signed.manifest) as { readonly level: number };
  return { signed, hash: hex(edgeCrypto.sha256(signed.manifest)), level };
}

/** Of what is kept, before it is verified: null for what cannot even be read. */
function keptLevel(store: HubStore): number | null {
  try {
    const kept = store.head();
    const level = kept === null ? null : headOf(kept).level;
    return Number.isSafeInteger(level) ? level : null;
  } catch {
    return null;
  }
}
