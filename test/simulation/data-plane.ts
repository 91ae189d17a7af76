/** A data plane of the simulated world: the real sync client, its build a matter of luck. */
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { positionOf, type ReplicaState } from '#shared/config/replica.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { SyncClient, type BuildOutcome } from '#shared/sync/client.ts';
import { decodeUpFrame } from '#shared/wire/codec.ts';
import type { Position } from '#shared/wire/frames.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Disk } from './disk.ts';
import type { Network } from './network.ts';
import { SimProcess } from './process.ts';

export interface DataPlaneOptions {
  readonly name: string;
  readonly network: Network;
  readonly random: SeededRandom;
  readonly disk: Disk;
  readonly skewMs: number;
  readonly joinToken: string;
  readonly controlPlanes: readonly string[];
  /** Chance that a build fails. */
  readonly clumsiness: () => number;
  readonly log: (source: string, level: string, message: string, text: string) => void;
  readonly served: (state: ReplicaState) => void;
  readonly acked: (position: Position) => void;
  readonly dialled: () => void;
}

export class SimDataPlane {
  readonly process: SimProcess;
  readonly client: SyncClient;
  readonly options: DataPlaneOptions;
  /** What it has told a control plane to be on its disk. */
  persisted: Position | null = null;

  constructor(options: DataPlaneOptions) {
    this.options = options;
    const { name, network, random, disk, skewMs } = options;
    const process = new SimProcess(name, network.scheduler, skewMs);
    this.process = process;
    const logger: Logger = {
      log: (level, message, fields) =>
        options.log(name, level, message, JSON.stringify(fields ?? {})),
    };
    const connector = network.connector(process);
    this.client = new SyncClient({
      controlPlanes: options.controlPlanes,
      joinToken: options.joinToken,
      about: { hostname: name, version: '0', runtime: 'node', labels: null, features: [] },
      connector: {
        open: (url, events) => {
          options.dialled();
          const link = connector.open(url, events);
          return {
            get bufferedBytes() {
              return link.bufferedBytes;
            },
            send: (text) => {
              this.#said(text);
              link.send(text);
            },
            close: (code, reason) => link.close(code, reason),
          };
        },
      },
      clock: process,
      random,
      crypto: nodeCrypto,
      logger,
      identities: disk.identities(process),
      configs: disk.configs(process),
      onReplica: (state) => this.#build(state),
    });
  }

  async start(): Promise<void> {
    await this.client.boot();
    if (!this.process.isDead) this.client.start();
  }

  kill(): void {
    this.process.kill();
    this.options.disk.crash();
  }

  #said(text: string): void {
    const decoded = decodeUpFrame(text);
    if (!decoded.ok || decoded.frame.type !== 'ack') return;
    const { position, persisted } = decoded.frame;
    this.options.acked(position);
    if (persisted) this.persisted = position;
  }

  async #build(state: ReplicaState): Promise<BuildOutcome> {
    const { random, clumsiness, network, name } = this.options;
    await this.process.delay(random.next() * 40);
    if (random.chance(clumsiness())) return { ok: false, entity: null, detail: 'no luck' };
    const { epoch, revision, hash } = positionOf(state);
    network.scheduler.trace(`serves ${name} ${epoch}.${revision} ${hash.slice(0, 8)}`);
    this.options.served(state);
    return { ok: true, quarantined: [] };
  }
}
