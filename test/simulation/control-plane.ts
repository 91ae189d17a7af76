/** A control plane of the simulated world: the parts of the real one, put together as there. */
import { must } from '#shared/base/assert.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import { Publisher } from '../../cp/changes/publisher.ts';
import { ControlPlanes } from '../../cp/cluster/control-planes.ts';
import { NodeIdentities } from '../../cp/nodes/identities.ts';
import { JoinTokens } from '../../cp/nodes/join-tokens.ts';
import { NodeRegistry } from '../../cp/nodes/registry.ts';
import { openStoreOn } from '../../cp/store/open-store.ts';
import type { Store } from '../../cp/store/store.ts';
import type { Hub } from '../../cp/sync/hub.ts';
import { sessionNonce } from '../../cp/sync/nonce.ts';
import { Session } from '../../cp/sync/runner.ts';
import { openHub, type OpenHub } from '../../cp/sync/server.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { ModelDatabase } from './database/model-database.ts';
import { serverSocket, type Link, type Network, type ServerEvents } from './network.ts';
import { SimProcess } from './process.ts';

/** The same for all: a cluster has one. */
export const KEK = Buffer.alloc(32, 7).toString('base64');

/** No folder: the witness takes null, the settings know only text. */
export const NOWHERE = null as unknown as string;

export interface ControlPlaneOptions {
  readonly name: string;
  readonly network: Network;
  readonly database: ModelDatabase;
  readonly random: SeededRandom;
  readonly skewMs: number;
  readonly pollMs: number;
  readonly log: (source: string, level: string, message: string, text: string) => void;
}

export interface Parts {
  readonly store: Store;
  readonly registry: NodeRegistry;
  readonly identities: NodeIdentities;
  readonly publisher: Publisher;
  readonly hub: Hub;
  readonly planes: ControlPlanes;
}

export function addressOf(name: string): string {
  return `wss://${name}.test`;
}

export class SimControlPlane {
  readonly process: SimProcess;
  readonly url: string;
  readonly #options: ControlPlaneOptions;
  #challenge: OpenHub['challenge'] = () => {
    throw new Error('not started');
  };
  parts: Parts | null = null;
  /** Those that are not closed. */
  readonly sessions = new Set<Session>();
  isDraining = false;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    const { name, network, skewMs } = options;
    this.process = new SimProcess(name, network.scheduler, skewMs);
    this.url = `${addressOf(name)}/headgate/v1/sync`;
  }

  /** Rejects when the database cannot be reached; the process is then of no use. */
  async start(): Promise<void> {
    const { database, random, pollMs, network, name } = this.#options;
    const logger: Logger = {
      log: (level, message, fields) =>
        this.#options.log(name, level, message, JSON.stringify(fields ?? {})),
    };
    const db = database.connect(this.process);
    const { store, keyring, epochs } = await openStoreOn(db, {
      // What a control plane keeps of what it saw is in memory only: a restart forgets it.
      database: { url: 'postgres://model', driver: null, dataDir: NOWHERE },
      kek: KEK,
      registry: REGISTRY,
      logger,
    });
    const clock = this.process;
    const ports = { clock, random, crypto: nodeCrypto, logger };
    const registry = new NodeRegistry({ db, ...ports });
    const identities = new NodeIdentities({ db, logger });
    const tokens = new JoinTokens({ db, keyring, ...ports });
    const { self } = registry;
    const urls = [addressOf(name)];
    const planes = new ControlPlanes({ db, self, urls, hostname: name, clock, logger });
    await planes.start();
    const shared = { store, keyring, epochs, pollMs, ...ports };
    const publisher = new Publisher({ ...shared, registry: REGISTRY });
    identities.onSecretReplaced(() => publisher.wake());
    const nodes = { registry, identities, tokens, audit: null };
    const { hub, challenge } = await openHub({ ...shared, ...nodes, publisher, hosts: [], planes });
    this.#challenge = challenge;
    publisher.start();
    this.parts = { store, registry, identities, publisher, hub, planes };
    network.listen(this.url, { process: this.process, accept: (link) => this.#accept(link) });
    network.scheduler.trace(`up ${name}`);
  }

  /** As a process that is told to stop. */
  async stop(): Promise<void> {
    const { parts } = this;
    if (parts === null) return this.process.kill();
    this.isDraining = true;
    await parts.planes.stop();
    parts.hub.drain(1_000);
    await parts.publisher.close();
    await parts.hub.close();
    await parts.registry.close();
    this.process.kill();
  }

  #accept(link: Link): ServerEvents | null {
    const { parts } = this;
    if (parts === null || this.isDraining) return null;
    const hostHeader = `${this.#options.name}.test`;
    const session = new Session(parts.hub, serverSocket(link), { hostHeader, ip: '10.0.0.1' });
    parts.hub.add(session);
    this.sessions.add(session);
    session.open(this.#challenge(sessionNonce(this.#options.random)));
    return {
      message: (text) => session.receive(text),
      close: () => {
        session.dispatch({ type: 'closed' });
        this.sessions.delete(session);
      },
    };
  }

  get running(): Parts {
    return must(this.parts, 'a control plane that runs');
  }
}
