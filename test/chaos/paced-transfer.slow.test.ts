/**
 * A large configuration for many nodes at once, most of which do not read what they asked for: what waits
 * for them is bounded, and whoever reads gets all of it as fast as if they were not there.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { WebSocket } from 'ws';
import { afterAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Connector } from '#shared/platform/platform.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import { SyncClient } from '#shared/sync/client.ts';
import type { StoredIdentity } from '#shared/sync/identity.ts';
import { busyFactor } from '../support/busy.ts';
import { eventually } from '../support/eventually.ts';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { openPgStore, TEST_KEK } from '../support/pg-store.ts';
import { startPostgres } from '../support/postgres.ts';
import { clusterAddress, Fleet, type Member } from './fleet.ts';
import { Swarm } from './swarm.ts';

const MEGABYTES = Number(process.env['TRANSFER_MB'] ?? 48);
const ENTITY_BYTES = 8_000;
const SLOW_NODES = Number(process.env['TRANSFER_SLOW'] ?? 100);
const FAST_NODES = Number(process.env['TRANSFER_FAST'] ?? 5);
/** Beyond what it held before: some megabytes for each slow reader, and what is not collected yet. */
const GROWTH_MB_MAX = 400;
const TRANSFER_MS_MAX = 120_000;

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe(`${MEGABYTES} MB for ${FAST_NODES} nodes, and ${SLOW_NODES} that do not read`, () => {
    afterAll(() => postgres.stop());

    it('costs the control plane little, and those who read no time', async () => {
      const databaseUrl = await postgres.createDatabase();
      const fleet = await Fleet.start({ databaseUrl, env: { HEADGATE_KEK: TEST_KEK } });
      const swarms: Swarm[] = [];
      const slow: SlowNode[] = [];
      try {
        const controlPlane = must(fleet.controlPlanes[0], 'a control plane');
        const admin = fleet.admin();
        await fill(databaseUrl);
        const workspace = String((await admin.ok('GET', '/workspaces/default'))['id']);
        const answer = await admin.call('POST', '/consumers', { username: 'last' });
        const version = Number(answer.headers['headgate-version']);
        const controlPlanes = [clusterAddress(controlPlane)];
        const tokenFor = async (uses: number): Promise<string> =>
          String((await admin.post('/clustering/join-tokens', { uses }))['token']);
        const transfer = async (): Promise<number> => {
          const startedMs = performance.now();
          const options = { nodes: FAST_NODES, controlPlanes, workspace, joinToken: tokenFor };
          const swarm = await Swarm.start(options);
          swarms.push(swarm);
          await swarm.all(version, TRANSFER_MS_MAX);
          return performance.now() - startedMs;
        };
        // Published, read into the cache, and the process as large as that makes it.
        await transfer();
        const before = {
          ms: await transfer(),
          busy: busyFactor(),
          mb: await residentMb(controlPlane),
        };
        await forgetPeak(controlPlane);

        const joinToken = await tokenFor(SLOW_NODES);
        for (let n = 0; n < SLOW_NODES; n++) {
          slow.push(new SlowNode(`slow-${n}`, must(controlPlanes[0], 'one'), joinToken));
        }
        await eventually('all to have asked', () => slow.every(({ hasAsked }) => hasAsked), 60_000);
        const amid = { ms: await transfer(), busy: busyFactor(), mb: await peakMb(controlPlane) };
        const grownMb = amid.mb - before.mb;
        console.log(
          `alone ${Math.round(before.ms)} ms, amid slow readers ${Math.round(amid.ms)} ms ` +
            `(busy ${before.busy.toFixed(1)}, ${amid.busy.toFixed(1)}); ` +
            `${Math.round(before.mb)} MB, at most ${Math.round(grownMb)} MB more`,
        );
        expect(grownMb).toBeLessThan(GROWTH_MB_MAX);
        expect(amid.ms / amid.busy).toBeLessThan((3 * before.ms) / before.busy + 3_000);
      } finally {
        for (const swarm of swarms) swarm.close();
        await Promise.all(slow.map((node) => node.stop()));
        await fleet.close();
      }
    }, 300_000);
  });
}

/** Consumers with long tags, straight into the database: the Admin API is not what is measured. */
async function fill(databaseUrl: string): Promise<void> {
  const { store, close } = await openPgStore(databaseUrl);
  const consumers = must(REGISTRY.entities.get('consumers'), 'consumers');
  const deps = { nowSeconds: 1, uuid: () => nodeRandom.uuid(), randomText: () => '' };
  const tags = Array.from({ length: ENTITY_BYTES / 100 }, (_, n) => `${n}-`.padEnd(97, 'x'));
  const count = Math.round((MEGABYTES * 1e6) / ENTITY_BYTES);
  const entities = Array.from({ length: count }, (_, n) => {
    const made = processInsert(consumers, { username: `c${n}`, tags }, REGISTRY, deps);
    return must(made.ok ? made.entity : null, 'a consumer');
  });
  const ws = store.defaultWorkspace();
  await store.write(ws, { name: 'test', source: null }, (tx) =>
    tx.insertMany(consumers, ws, entities),
  );
  await close();
}

/** Joins, asks for the tree, and reads no more once it has asked for much of it. */
class SlowNode {
  hasAsked = false;
  readonly #client: SyncClient;

  constructor(name: string, controlPlane: string, joinToken: string) {
    let identity: StoredIdentity | null = null;
    this.#client = new SyncClient({
      controlPlanes: [controlPlane],
      joinToken,
      about: { hostname: name, version: '0.1.0', runtime: 'node', labels: {}, features: [] },
      connector: this.#connector(),
      clock: nodeClock,
      random: nodeRandom,
      crypto: nodeCrypto,
      logger: { log: () => {} },
      identities: {
        load: () => Promise.resolve(identity),
        save: async (next) => {
          identity = next;
        },
      },
      configs: { load: () => Promise.resolve(null), save: async () => {} },
      onReplica: async () => ({ ok: true, quarantined: [] }),
    });
    void this.#client.boot().then(() => this.#client.start());
  }

  stop(): Promise<void> {
    return this.#client.stop();
  }

  #connector(): Connector {
    return {
      open: (address, events) => {
        const socket = new WebSocket(address, { perMessageDeflate: false });
        socket.on('open', () => events.open());
        socket.on('message', (data) => events.message(String(data)));
        socket.on('error', () => {});
        socket.on('close', (code, reason) => events.close(code, reason.toString()));
        return {
          send: (text) => {
            if (socket.readyState !== WebSocket.OPEN) return;
            socket.send(text);
            if (!text.startsWith('{"type":"want"') || text.length < MANY_IDS_LENGTH) return;
            socket.pause();
            this.hasAsked = true;
          },
          get bufferedBytes() {
            return socket.bufferedAmount;
          },
          close: () => socket.terminate(),
        };
      },
    };
  }
}

/** Of a frame that asks for some dozens of nodes. */
const MANY_IDS_LENGTH = 5_000;

async function statusMb(member: Member, name: string): Promise<number> {
  const status = await readFile(`/proc/${member.program.pid}/status`, 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? Number.NaN) / 1_000;
}

function residentMb(member: Member): Promise<number> {
  return statusMb(member, 'VmRSS');
}

/** Since `forgetPeak`. */
function peakMb(member: Member): Promise<number> {
  return statusMb(member, 'VmHWM');
}

async function forgetPeak(member: Member): Promise<void> {
  await writeFile(`/proc/${member.program.pid}/clear_refs`, '5');
}
