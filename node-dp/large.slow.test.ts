/**
 * A data plane with 100,000 entities: how soon it serves from its disk, what taking them in does to
 * the requests under way, and what one change costs. Figures are printed; what is asserted is the best
 * of a few attempts, as the machine may be busy.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { makeRecord } from '#shared/config/record.ts';
import { lookupHash, groupPepper } from '#shared/config/secrets.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { SYNC_PATH } from '#shared/wire/protocol.ts';
import { TestCluster } from '../test/support/dp-folder.ts';
import { type EchoUpstream, startEchoUpstream } from '../test/support/echo-upstream.ts';
import { busyFactor } from '../test/support/busy.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import {
  consumerRecord,
  LARGE,
  largeKey,
  largeRecords,
  type LargeShape,
} from '../test/support/large-configuration.ts';
import { Program } from '../test/support/program.ts';
import { ScriptedControlPlane } from '../test/support/scripted-control-plane.ts';
import { startSteadyLoad } from '../test/support/steady-load.ts';
import type { Stalls } from '../test/support/stall-hook.ts';
import { STALL_HOOK, StallReader } from '../test/support/stall-reader.ts';

const ATTEMPTS = 3;
/** 2.1 s here, of which half a second is loading the program; the goal is 2 s. */
const COLD_START_MS_MAX = 3000;
const APPLY_STALL_MS_MAX = 100;
const CHANGE_STALL_MS_MAX = 10;
const CHANGE_CPU_MS_MAX = 5;
/** Beside the bytes of the entity. */
const CHANGE_WIRE_BYTES_MAX = 2048;
const CHANGES = 40;
const SMALL: LargeShape = { routes: 20, services: 2, plugins: 0, consumers: 1 };

let upstream: EchoUpstream;
const programs: Program[] = [];
const folders: string[] = [];
beforeAll(async () => {
  upstream = await startEchoUpstream();
});
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.kill('SIGKILL')));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});
afterAll(() => upstream.close());

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-large-'));
  folders.push(folder);
  return folder;
}

function startNode(folder: string, env: Record<string, string>): Promise<Program> {
  const program = new Program(['headgate.mjs', 'dp'], {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
    HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
    HEADGATE_PROXY_ACCESS_LOG: 'off',
    HEADGATE_CONTROL_PLANES: 'ws://127.0.0.1:1',
    ...env,
  });
  programs.push(program);
  return program.ready();
}

describe('100,000 entities', () => {
  it('are served from disk soon after the start', { timeout: 120_000 }, async () => {
    const folder = await newFolder();
    const cluster = await TestCluster.create();
    await cluster.furnish(folder, largeRecords(cluster, upstream.port));
    const attempts: number[] = [];
    const busy: number[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const startedMs = performance.now();
      const node = await startNode(folder, {});
      const first = await ask(node, 9999);
      attempts.push(performance.now() - startedMs);
      busy.push(busyFactor());
      expect(first.status, first.text).toBe(200);
      // And it is all there: a route that asks for a key, and the last consumer's key.
      expect((await ask(node, 0)).status).toBe(401);
      expect((await ask(node, 0, largeKey(LARGE.consumers - 1))).status).toBe(200);
      await node.kill('SIGTERM');
    }
    console.log(`cold start, ms: ${list(attempts)}; machine busy: ${list(busy)}`);
    const idle = attempts.map((ms, n) => ms / (busy[n] ?? 1));
    expect(Math.min(...idle)).toBeLessThan(COLD_START_MS_MAX);
  });

  it(
    'are taken in without a stall, and one change among them costs next to nothing',
    { timeout: 240_000 },
    async () => {
      const folder = await newFolder();
      const sync = await ControlPlane.start();
      await sync.publish(SMALL);
      const stallFile = join(folder, 'stalls');
      const node = await startNode(folder, {
        HEADGATE_CONTROL_PLANES: sync.address,
        HEADGATE_JOIN_TOKEN: sync.scripted.joinToken,
        NODE_OPTIONS: `--import=${STALL_HOOK}`,
        STALL_FILE: stallFile,
      });
      await eventually('the first configuration', async () => (await ask(node, 1)).status === 200);
      const stalls = new StallReader(node, stallFile);
      const stopLoad = startSteadyLoad({
        base: node.url('proxy'),
        // Answered by the data plane itself: the upstream lives with the test, and is as busy as that.
        path: '/nowhere',
        host: 'host-1.example.test',
        status: 404,
      });

      const applied: Stalls[] = [];
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        await stalls.read();
        await sync.publish(LARGE);
        await sync.acked();
        applied.push(await stalls.read());
        if (attempt + 1 === ATTEMPTS) break;
        await sync.publish(SMALL);
        await sync.acked();
      }
      const { latencies, failures } = await stopLoad();
      expect(failures).toEqual([]);
      show('full configuration', applied);
      const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
      console.log(`requests meanwhile: ${latencies.length}, p99 ${p99.toFixed(1)} ms`);
      const least = Math.min(...applied.map(stallOf));
      expect(least).toBeLessThan(APPLY_STALL_MS_MAX);

      // The timers that measure have their price, and what else a quiet node does.
      await stalls.read();
      busyFactor();
      const quiet = await stalls.read();
      const quietShare = quiet.cpuMs / quiet.elapsedMs;
      const changed: Stalls[] = [];
      let wire = 0;
      for (let turn = 1; turn <= CHANGES; turn += 1) {
        const record = consumerRecord(turn * 7, turn);
        await stalls.read();
        const before = sync.bytesSent;
        await sync.scripted.publish([record]);
        await sync.acked();
        wire = Math.max(wire, sync.bytesSent - before - JSON.stringify(record.text).length);
        changed.push(await stalls.read());
      }
      const stall = median(changed.map(stallOf));
      const cpu = median(changed.map(({ cpuMs, elapsedMs }) => cpuMs - elapsedMs * quietShare));
      show('one change', changed.slice(-5));
      console.log(
        `one change: stall ${stall.toFixed(1)} ms, CPU ${cpu.toFixed(2)} ms, ${wire} B on the wire`,
      );
      expect(stall).toBeLessThan(CHANGE_STALL_MS_MAX);
      expect(cpu).toBeLessThan(CHANGE_CPU_MS_MAX);
      expect(wire).toBeLessThan(CHANGE_WIRE_BYTES_MAX);
      sync.close();
    },
  );
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function list(values: readonly number[]): string {
  return values.map((value) => value.toFixed(value < 100 ? 1 : 0)).join(', ');
}

/** Whatever else keeps the cores busy is not our doing: then it is our own CPU time that counts. */
function stallOf({ stallMs, turnCpuMs }: Stalls): number {
  return Math.min(stallMs, turnCpuMs);
}

function show(what: string, all: readonly Stalls[]): void {
  for (const { stallMs, turnCpuMs, cpuMs, rssBytes } of all) {
    const rss = Math.round(rssBytes / 1e6);
    console.log(
      `${what}: stall ${list([stallMs])} ms (own ${list([turnCpuMs])}), CPU ${list([cpuMs])} ms, ${rss} MB`,
    );
  }
}

function ask(node: Program, route: number, key: string | null = null) {
  const headers = key === null ? {} : { apikey: key };
  const host = `host-${route % 1000}.example.test`;
  return send(node.url('proxy'), `/service-${route}/v1`, { headers: { host, ...headers } });
}

/** A real server with real signatures; the records have no secrets. */
class ControlPlane {
  readonly scripted: ScriptedControlPlane;
  readonly #server: WebSocketServer;
  readonly address: string;
  bytesSent = 0;

  private constructor(scripted: ScriptedControlPlane, server: WebSocketServer, port: number) {
    this.scripted = scripted;
    this.#server = server;
    this.address = `ws://127.0.0.1:${port}`;
    server.on('connection', (socket) => {
      const events = scripted.accept({
        address: this.address,
        send: (text) => {
          this.bytesSent += Buffer.byteLength(text);
          socket.send(text);
        },
        close: (code, reason) => socket.close(code, reason),
      });
      socket.on('message', (data) => events.message(String(data)));
      socket.on('close', () => events.close());
    });
  }

  static async start(): Promise<ControlPlane> {
    const scripted = await ScriptedControlPlane.create(nodeCrypto, nodeRandom);
    scripted.shardCount = 32;
    scripted.deltaCountMax = 1000;
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: SYNC_PATH });
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return new ControlPlane(scripted, server, port);
  }

  /** The next revision: these and nothing else. */
  async publish(shape: LargeShape): Promise<void> {
    const { head, secret } = this.scripted;
    const pepper = groupPepper(secret.bytes, secret.generation, nodeCrypto);
    const keys = {
      credential: (ws: string, entity: { readonly id: string }, value: string) => {
        const kind = 'keyauth_credentials';
        const key = lookupHash(pepper, { kind, ws, value }, nodeCrypto);
        return makeRecord(
          { kind, ws, id: entity.id, placement: key },
          { ...entity, key },
          nodeCrypto,
        );
      },
    };
    const records = [...largeRecords(keys, upstream.port, shape)];
    const stays = new Set(records.map(({ kind, id }) => `${kind} ${id}`));
    const removals = [...(head?.tree.records() ?? [])].filter(
      ({ kind, id }) => !stays.has(`${kind} ${id}`),
    );
    await this.scripted.publish(records, removals);
  }

  /** The newest revision is served, and saved. */
  async acked(): Promise<void> {
    const hash = this.scripted.head?.position.hash;
    await eventually(
      'the acknowledgement',
      () => {
        const last = this.scripted.heard.findLast(({ type }) => type === 'ack' || type === 'nack');
        if (last?.type === 'nack') throw new Error(last.detail);
        return last?.type === 'ack' && last.position.hash === hash;
      },
      60_000,
    );
  }

  close(): void {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
  }
}
