/** From a verified configuration to one that is served: build off to the side, then swap. */
import type { ReplicaState } from '#shared/config/replica.ts';
import { SecretOpener } from '#shared/config/opening.ts';
import { pepperFor } from '#shared/config/secrets.ts';
import { HANDLERS } from '#shared/plugins/handlers.ts';
import { nodeBreaks } from '#shared/platform/node/breaks.ts';
import type { Crypto, Logger } from '#shared/platform/platform.ts';
import type { Gateway } from '#shared/proxy/gateway.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import { type BuildDeps, buildTablesInSlices } from '#shared/tables/build.ts';
import type { Quarantined, Tables } from '#shared/tables/tables.ts';

/** What a process builds by, besides who it is. */
export type BuildTerms = Pick<BuildDeps, 'routerFlavor' | 'certificateFault' | 'upstreamTls'>;

/** What is said of a configuration that was handed over. */
export type Served =
  | { readonly ok: true; readonly quarantined: readonly Quarantined[] }
  | {
      readonly ok: false;
      readonly entity: { readonly kind: string; readonly id: string } | null;
      readonly detail: string;
    };

export class Serving {
  readonly #gateway: Gateway;
  readonly #crypto: Crypto;
  readonly #logger: Logger;
  readonly #opener: SecretOpener;
  readonly #terms: BuildTerms;

  readonly #onSwap: (tables: Tables) => void;

  /** @param onSwap  called with what is served from then on */
  constructor(
    gateway: Gateway,
    crypto: Crypto,
    logger: Logger,
    terms: BuildTerms,
    onSwap: (tables: Tables) => void = () => {},
  ) {
    this.#onSwap = onSwap;
    this.#gateway = gateway;
    this.#terms = terms;
    this.#crypto = crypto;
    this.#logger = logger;
    this.#opener = new SecretOpener(crypto);
  }

  /**
   * Serves it from now on, or goes on with what was served before and says why. One at a time: the
   * caller waits before the next.
   */
  async take(state: ReplicaState, groupSecrets: NodeIdentity['groupSecrets']): Promise<Served> {
    const startedMs = performance.now();
    const result = await this.#build(state, groupSecrets);
    const { epoch, revision } = state.replica;
    const durationMs = Math.round(performance.now() - startedMs);
    if (!result.ok) {
      const { entity, detail } = result;
      const fields = { epoch, revision, detail, entity: entity === null ? null : { ...entity } };
      this.#logger.log('error', 'configuration refused: it cannot be built', fields);
      return result;
    }
    const quarantined = result.quarantined.length;
    this.#logger.log(quarantined > 0 ? 'warn' : 'info', 'configuration live', {
      epoch,
      revision,
      records: state.tree.size,
      quarantined,
      durationMs,
    });
    return result;
  }

  async #build(state: ReplicaState, groupSecrets: NodeIdentity['groupSecrets']): Promise<Served> {
    const crypto = this.#crypto;
    const pepper = pepperFor(groupSecrets, state.replica.secretGeneration, crypto);
    const runtime = 'node';
    const { health } = this.#gateway;
    const deps = { ...this.#terms, handlers: HANDLERS, runtime, crypto, pepper, health } as const;
    const breaks = nodeBreaks();
    let built: Awaited<ReturnType<typeof buildTablesInSlices>>;
    try {
      const replica = await this.#opener.open(state, groupSecrets, breaks);
      built = await buildTablesInSlices(replica, deps, this.#gateway.tables, breaks);
    } catch (error) {
      // A bug in the building must not take the traffic with it: what is served stays.
      return { ok: false, entity: null, detail: String(error) };
    }
    if (!built.ok) return built;
    this.#gateway.swap(built.tables);
    this.#onSwap(built.tables);
    return { ok: true, quarantined: built.quarantined };
  }
}
