/** A data plane without a proxy: the real sync client on real sockets, its disk in memory. */
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import type { ReplicaState } from '#shared/config/replica.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { ConfigStore, Logger, StoredConfig } from '#shared/platform/platform.ts';
import { type BuildOutcome, SyncClient } from '#shared/sync/client.ts';
import type { About } from '#shared/wire/frames.ts';
import { type NodeIdentity, textIdentityStore } from '#shared/sync/identity.ts';
import {
  connectorByScheme,
  type FetchedJson,
  PullConnector,
} from '#shared/sync/pull-connection.ts';
import { NodeConnector } from '../../node-dp/connector.ts';
import type { LogLine } from './fake-platform.ts';
import { ABOUT } from './sync-endpoint.ts';

/** What outlives a node's process. */
export class NodeDisk implements ConfigStore {
  identity: string | null = null;
  config: StoredConfig | null = null;

  readonly identities = textIdentityStore({
    read: async () => this.identity,
    write: async (text) => void (this.identity = text),
  });

  async load(): Promise<StoredConfig | null> {
    return this.config;
  }

  async save(config: StoredConfig): Promise<void> {
    this.config = { ...config, nodes: new Map(config.nodes) };
  }
}

export class SyncNode {
  readonly client: SyncClient;
  readonly logs: LogLine[] = [];
  /** Revisions swapped in, in order. */
  readonly swapped: number[] = [];
  /** Schema level that it asks for, when it hangs up and dials again. */
  level = SCHEMA_LEVEL;
  /** Decides what a build comes to. */
  build: (state: ReplicaState, identity: NodeIdentity) => BuildOutcome | Promise<BuildOutcome> =
    () => ({
      ok: true,
      quarantined: [],
    });
  #serving: ReplicaState | null = null;
  readonly #watchers = new Set<() => void>();

  constructor(
    address: string,
    joinToken: string | null,
    disk: NodeDisk = new NodeDisk(),
    labels: Readonly<Record<string, string>> = ABOUT.labels,
    runtime: About['runtime'] = 'node',
  ) {
    const logger: Logger = {
      log: (level, message, fields = {}) => void this.logs.push({ level, message, fields }),
    };
    const socket = new NodeConnector(null);
    this.client = new SyncClient({
      controlPlanes: [address],
      level: () => this.level,
      joinToken,
      about: { ...ABOUT, labels, runtime },
      connector: connectorByScheme(socket, new PullConnector(fetchJson, nodeClock)),
      clock: nodeClock,
      random: nodeRandom,
      crypto: nodeCrypto,
      logger,
      identities: disk.identities,
      configs: disk,
      onReplica: async (state, identity) => {
        const outcome = await this.build(state, identity);
        if (!outcome.ok) return outcome;
        this.#serving = state;
        this.swapped.push(state.manifest.revision);
        for (const watcher of this.#watchers) watcher();
        return outcome;
      },
    });
  }

  async start(): Promise<this> {
    await this.client.boot();
    this.client.start();
    return this;
  }

  /** Resolves as soon as a configuration for which `is` holds was swapped in. */
  async serves(is: (state: ReplicaState) => boolean): Promise<ReplicaState> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#serving === null || !is(this.#serving)) return;
        this.#watchers.delete(look);
        resolve(this.#serving);
      };
      this.#watchers.add(look);
      look();
    });
  }
}

async function fetchJson(
  method: 'GET' | 'POST',
  url: string,
  body: string | null,
): Promise<FetchedJson> {
  const response = await (method === 'GET' ? fetch(url) : fetch(url, { method: 'POST', body }));
  return { status: response.status, text: await response.text() };
}
