/** A data plane's sync client in a small world of its own: fake clock, memory network, scripted CP. */
import type { ConfigStore, Logger, StoredConfig } from '../platform/platform.ts';
import { nodeCrypto } from '../platform/node/crypto.ts';
import { loadReplica, positionOf, type ReplicaState } from '../config/replica.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { MemoryNetwork, type Fault } from '../../test/support/memory-connection.ts';
import { ScriptedControlPlane } from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { SyncClient, type BuildOutcome, type SyncClientOptions } from './client.ts';
import { textIdentityStore } from './identity.ts';

export const ADDRESS = 'wss://cp.test';
export const URL_OF_ADDRESS = 'wss://cp.test/headgate/v1/sync';

/** What outlives the process of a node. */
export class Disk implements ConfigStore {
  identity: string | null = null;
  config: StoredConfig | null = null;
  isFull = false;
  /** Held back until it resolves. */
  gate: Promise<void> = Promise.resolve();

  readonly identities = textIdentityStore({
    read: async () => this.identity,
    write: async (text) => {
      await this.gate;
      if (this.isFull) throw new Error('no space left');
      this.identity = text;
    },
  });

  async load(): Promise<StoredConfig | null> {
    return this.config;
  }

  async save(config: StoredConfig): Promise<void> {
    await this.gate;
    if (this.isFull) throw new Error('no space left');
    // As a disk would: texts, not objects.
    this.config = { ...config, nodes: new Map(config.nodes) };
  }
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly text: string;
}

export class World {
  readonly clock = new FakeClock();
  readonly random: SeededRandom;
  readonly network: MemoryNetwork;
  readonly disk = new Disk();
  readonly logs: LogLine[] = [];
  /** Revisions that were swapped in, in order, over all lives of the node. */
  readonly swapped: { epoch: number; revision: number; pepper: number }[] = [];
  fault: (what: 'open' | 'up' | 'down', text: string) => Fault = () => null;
  latencyMs: () => number = () => 1;
  /** Decides what a build comes to. */
  build: (state: ReplicaState) => BuildOutcome | Promise<BuildOutcome> = () => ({
    ok: true,
    quarantined: [],
  });
  readonly cp: ScriptedControlPlane;
  client: SyncClient;

  static async create(seed: number, options: Partial<SyncClientOptions> = {}): Promise<World> {
    const random = new SeededRandom(seed);
    const cp = await ScriptedControlPlane.create(nodeCrypto, random);
    return new World(random, cp, options);
  }

  constructor(random: SeededRandom, cp: ScriptedControlPlane, options: Partial<SyncClientOptions>) {
    this.random = random;
    this.cp = cp;
    this.network = new MemoryNetwork({
      clock: this.clock,
      latencyMs: () => this.latencyMs(),
      fault: (what, text) => this.fault(what, text),
    });
    this.network.listen(URL_OF_ADDRESS, (end) => cp.accept(end));
    this.client = this.#makeClient(options);
  }

  /** The process dies without a word; a new one starts on the same disk. */
  async restart(options: Partial<SyncClientOptions> = {}): Promise<boolean> {
    this.halt();
    this.client = this.#makeClient(options);
    return this.client.boot();
  }

  halt(): void {
    for (const session of this.cp.sessions) session.close(1006);
    void this.client.stop();
  }

  async live(): Promise<void> {
    await this.client.boot();
    this.client.start();
    await this.clock.until(() => this.client.status().tag === 'live');
  }

  /** Until the node serves the head and has said so. */
  async converge(limitMs = 120_000): Promise<void> {
    const isThere = (): boolean => {
      const { hash } = this.client.status();
      return hash === this.cp.head?.position.hash && this.client.status().tag === 'live';
    };
    await this.clock.until(isThere, limitMs);
  }

  get revisions(): number[] {
    return this.swapped.map(({ revision }) => revision);
  }

  heard<T extends string>(type: T): Extract<(typeof this.cp.heard)[number], { type: T }>[] {
    // The filter is the check.
    return this.cp.heard.filter((frame) => frame.type === type) as never;
  }

  /** What the disk would give a new process; null when it is refused. */
  async onDisk(): Promise<ReplicaState | null> {
    const { config } = this.disk;
    const identity = await this.disk.identities.load();
    if (config === null || identity?.tag !== 'joined') return null;
    const loaded = await loadReplica(config, identity, nodeCrypto);
    return loaded.ok ? loaded.state : null;
  }

  #makeClient(options: Partial<SyncClientOptions>): SyncClient {
    const logger: Logger = {
      log: (level, message, fields) =>
        this.logs.push({ level, message, text: `${message} ${JSON.stringify(fields)}` }),
    };
    return new SyncClient({
      controlPlanes: [ADDRESS],
      joinToken: this.cp.joinToken,
      about: { hostname: 'h', version: '0', runtime: 'node', labels: null, features: [] },
      connector: this.network,
      clock: this.clock,
      random: this.random,
      crypto: nodeCrypto,
      logger,
      identities: this.disk.identities,
      configs: this.disk,
      onReplica: async (state, identity) => {
        const outcome = await this.build(state);
        const { epoch, revision } = positionOf(state);
        const pepper = identity.groupSecrets[0]?.generation ?? 0;
        if (outcome.ok) this.swapped.push({ epoch, revision, pepper });
        return outcome;
      },
      ...options,
    });
  }
}
