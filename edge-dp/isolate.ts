/** One isolate of the Worker: the request path, its configuration, and the status endpoints. */
import type { Replica } from '#shared/config/record.ts';
import { pepperFor } from '#shared/config/secrets.ts';
import { isPromise, type MaybePromise } from '#shared/base/maybe-promise.ts';
import type { GatewayResponse } from '#shared/http/message.ts';
import type { Platform } from '#shared/platform/platform.ts';
import { HANDLERS } from '#shared/plugins/handlers.ts';
import { Gateway } from '#shared/proxy/gateway.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { buildTables } from '#shared/tables/build.ts';
import { quarantineView } from '#shared/tables/quarantine.ts';
import { hubOf, type Bindings } from './bindings.ts';
import { parseBootKey, type BootRecord } from '#shared/config/boot-record.ts';
import { ConfigSource } from './config-source.ts';
import { KvConfig } from './kv-config.ts';
import { createPlatform, edgeLogger } from './platform.ts';
import { fromRequest } from './request.ts';
import { toResponse } from './response.ts';
import { SharedHealth } from './shared-health.ts';
import { createStatus } from './status.ts';

/**
 * A request whose client has left may never run again, not even to say that it is over. Longer than a
 * try takes by default; that a longer one is not counted to its end does no harm.
 */
const FORGOTTEN_AFTER_MS = 120_000;

export class Isolate {
  readonly #bindings: Bindings;
  readonly #platform: Platform;
  readonly #gateway: Gateway;
  readonly #health: SharedHealth;
  readonly #source: ConfigSource;
  readonly #status: (request: Request) => Promise<Response> | null;

  constructor(bindings: Bindings) {
    const { settings } = bindings;
    this.#bindings = bindings;
    this.#platform = createPlatform(edgeLogger('edge', settings.HEADGATE_LOG_LEVEL));
    this.#gateway = new Gateway({
      platform: this.#platform,
      settings: bindings.proxy,
      forgottenAfterMs: FORGOTTEN_AFTER_MS,
      accessLog:
        settings.HEADGATE_PROXY_ACCESS_LOG === 'off'
          ? null
          : (entry) => console.log(JSON.stringify(entry)),
    });
    this.#health = new SharedHealth(this.#gateway.health, () => this.#source.hurry());
    this.#source = this.#createSource();
    this.#status = createStatus({
      prefix: settings.HEADGATE_STATUS_PREFIX,
      token: settings.HEADGATE_STATUS_TOKEN,
      crypto: this.#platform.crypto,
      notReady: () => this.#notReady(),
      details: () => this.#details(),
      explain: (asked) => this.#gateway.explain(asked),
    });
  }

  fetch(request: Request): Response | Promise<Response> {
    const fresh = this.#source.freshen();
    if (fresh !== null) return fresh.then(() => this.#answer(request));
    return this.#answer(request);
  }

  #answer(request: Request): Response | Promise<Response> {
    const own = this.#status(request);
    if (own !== null) return own;
    const isClosed = this.#source.isClosed();
    if (isClosed !== this.#gateway.isClosed) this.#gateway.setClosed(isClosed);
    const response: MaybePromise<GatewayResponse> = this.#gateway.handle(fromRequest(request));
    return isPromise(response) ? response.then(toResponse) : toResponse(response);
  }

  #createSource(): ConfigSource {
    const { kv, settings } = this.#bindings;
    const { clock, crypto, logger, background } = this.#platform;
    const bootKey = settings.HEADGATE_BOOT_KEY;
    return new ConfigSource({
      hub: () => hubOf(this.#bindings),
      kv: new KvConfig(kv, settings.HEADGATE_DEPLOYMENT),
      bootKey: bootKey === null ? null : parseBootKey(bootKey),
      maxIsolateAgeMs: settings.HEADGATE_MAX_ISOLATE_AGE_SECONDS * 1000,
      clock,
      crypto,
      logger,
      background,
      health: this.#health,
      use: (replica, boot) => this.#use(replica, boot),
    });
  }

  #use(replica: Replica, boot: BootRecord): string | null {
    const { crypto, logger } = this.#platform;
    const deps = {
      handlers: HANDLERS,
      runtime: 'edge',
      crypto,
      pepper: pepperFor(boot.groupSecrets, replica.secretGeneration, crypto),
      routerFlavor: this.#bindings.settings.HEADGATE_ROUTER_FLAVOR,
      health: this.#gateway.health,
    } as const;
    const built = buildTables(replica, deps, this.#gateway.tables);
    const { epoch, revision } = replica;
    if (!built.ok) {
      logger.log('error', 'a configuration could not be built', {
        epoch,
        revision,
        detail: built.detail,
      });
      return built.detail;
    }
    this.#gateway.swap(built.tables);
    logger.log('info', 'configuration swapped', {
      epoch,
      revision,
      quarantined: built.quarantined.length,
    });
    return null;
  }

  /** Why it should get no traffic; null: it may. */
  #notReady(): string | null {
    if (this.#gateway.tables === null) return 'no configuration available';
    return this.#source.isClosed() ? 'the configuration is stale' : null;
  }

  async #details(): Promise<JsonObject> {
    const { tables } = this.#gateway;
    let hub: JsonObject | null = null;
    try {
      // Our own text: `ConfigHub.status` makes nothing but an object.
      hub = JSON.parse(await hubOf(this.#bindings).status()) as JsonObject;
    } catch {
      // An unreachable hub is a fact to report, not a failure of this endpoint.
    }
    return {
      ready: this.#notReady() === null,
      configuration_hash: tables?.hash ?? null,
      configuration: tables === null ? null : { epoch: tables.epoch, revision: tables.revision },
      ...quarantineView(tables?.quarantined ?? []),
      isolate: {
        confirmed_age_ms: this.#source.confirmedAgeMs(),
        stale: this.#source.isStale(),
        closed: this.#source.isClosed(),
        targets_known_bad: this.#health.knownCount,
      },
      deployment: this.#bindings.settings.HEADGATE_DEPLOYMENT,
      hub,
    };
  }
}
