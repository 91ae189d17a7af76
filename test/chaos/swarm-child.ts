/**
 * A process full of light data planes: the real client with real keys over real WebSockets, and nothing
 * behind it. No tables are built and nothing is saved, so that what is measured is the control plane.
 */
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Connector, Crypto } from '#shared/platform/platform.ts';
import { SyncClient } from '#shared/sync/client.ts';
import type { StoredIdentity } from '#shared/sync/identity.ts';
import { NodeConnector } from '../../node-dp/connector.ts';

const PROVEN_MAX = 10_000;

/** From the supervisor. */
export type SwarmOrder =
  | {
      readonly type: 'start';
      readonly nodes: number;
      readonly first: number;
      readonly controlPlanes: readonly string[];
      readonly joinToken: string;
      readonly workspace: string;
    }
  /** Asks how many have acknowledged the version; `times`: and when. */
  | { readonly type: 'reached'; readonly version: number; readonly times: boolean }
  | { readonly type: 'stop' };

export type SwarmAnswer =
  | { readonly type: 'started' }
  | {
      readonly type: 'reached';
      readonly count: number;
      /** Milliseconds since the epoch, one per node that is there; empty unless asked for. */
      readonly times: readonly number[];
      /** How many have a session now. */
      readonly live: number;
      /** Connections dialled since the start. */
      readonly dialled: number;
      readonly rssBytes: number;
      /** Of the process, since the start, in milliseconds. */
      readonly cpuMs: number;
    }
  | { readonly type: 'stopped' };

/**
 * Every light node is sent the same signed manifests; the process proves each once. What a node signs
 * itself, and all that the control plane has to do, stays as it is.
 */
const proven = new Map<string, Promise<boolean>>();
const crypto: Crypto = {
  ...nodeCrypto,
  verify(publicKey, signature, data) {
    const parts = [publicKey, signature, nodeCrypto.sha256(data)];
    const key = parts.map((bytes) => Buffer.from(bytes).toString('base64')).join();
    const known = proven.get(key);
    if (known !== undefined) return known;
    const verdict = nodeCrypto.verify(publicKey, signature, data);
    if (proven.size < PROVEN_MAX) proven.set(key, verdict);
    return verdict;
  },
};

const now = (): number => performance.timeOrigin + performance.now();
let dialled = 0;

class LightNode {
  readonly client: SyncClient;
  /** Workspace versions that it acknowledged, ascending, and when. */
  readonly acked: (readonly [version: number, atMs: number])[] = [];

  constructor(name: string, order: Extract<SwarmOrder, { type: 'start' }>) {
    let identity: StoredIdentity | null = null;
    let version = 0;
    this.client = new SyncClient({
      controlPlanes: order.controlPlanes,
      joinToken: order.joinToken,
      about: { hostname: name, version: '0.1.0', runtime: 'node', labels: {}, features: [] },
      connector: listened(new NodeConnector(null), () => this.acked.push([version, now()])),
      clock: nodeClock,
      random: nodeRandom,
      crypto,
      logger: { log: () => {} },
      identities: {
        load: () => Promise.resolve(identity),
        save: async (next) => {
          identity = next;
        },
      },
      configs: { load: () => Promise.resolve(null), save: async () => {} },
      onReplica: async ({ manifest }) => {
        version = manifest.workspaces[order.workspace] ?? 0;
        return { ok: true, quarantined: [] };
      },
    });
  }

  /** When it first acknowledged this version or a later one; null: not yet. */
  reachedAt(version: number): number | null {
    return this.acked.find(([acked]) => acked >= version)?.[1] ?? null;
  }
}

/** Tells of every acknowledgement at the moment when it leaves. */
function listened(connector: Connector, acknowledged: () => void): Connector {
  return {
    open(address, events) {
      dialled++;
      const connection = connector.open(address, events);
      return {
        send(text) {
          if (text.startsWith('{"type":"ack"')) acknowledged();
          connection.send(text);
        },
        get bufferedBytes() {
          return connection.bufferedBytes;
        },
        close: (code, reason) => connection.close(code, reason),
      };
    },
  };
}

const nodes: LightNode[] = [];

async function obey(order: SwarmOrder): Promise<SwarmAnswer> {
  switch (order.type) {
    case 'start':
      for (let i = 0; i < order.nodes; i++) {
        const node = new LightNode(`light-${order.first + i}`, order);
        await node.client.boot();
        nodes.push(node);
      }
      for (const node of nodes) node.client.start();
      return { type: 'started' };
    case 'reached': {
      const times = nodes.map((node) => node.reachedAt(order.version)).filter((at) => at !== null);
      const live = nodes.filter((node) => node.client.status().tag === 'live').length;
      const { user, system } = process.cpuUsage();
      return {
        type: 'reached',
        count: times.length,
        times: order.times ? times : [],
        live,
        dialled,
        rssBytes: process.memoryUsage.rss(),
        cpuMs: (user + system) / 1_000,
      };
    }
    default:
      await Promise.all(nodes.map((node) => node.client.stop()));
      return { type: 'stopped' };
  }
}

process.on('message', (order: SwarmOrder) => {
  void obey(order).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit());
