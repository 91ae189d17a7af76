/**
 * Over two hundred configurations that cannot be served as they stand, one after the other, each signed as
 * if it were well: by the Admin API's own way where it takes them, and otherwise by a control plane that
 * looks at nothing. The healthy routes answer all the while.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { FrameOf } from '#shared/wire/frames.ts';
import { SYNC_PATH } from '#shared/wire/protocol.ts';
import { WebSocketServer } from 'ws';
import { TestConfig } from '../test/support/builders.ts';
import { answers, Cluster } from '../test/support/cluster.ts';
import { type EchoUpstream, startEchoUpstream } from '../test/support/echo-upstream.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import {
  ECHO_SERVICE,
  POISON,
  poisons,
  type Poison,
  SAMPLES,
  wellRecords,
} from '../test/support/poisons.ts';
import type { Program } from '../test/support/program.ts';
import { ScriptedControlPlane } from '../test/support/scripted-control-plane.ts';
import { startSteadyLoad } from '../test/support/steady-load.ts';

const COUNT_MIN = 200;
const ANSWER_MS_MAX = 20_000;
const RSS_BYTES_MAX = 700 * 1024 * 1024;

interface Status {
  readonly quarantined: readonly { readonly kind: string; readonly id: string }[];
  readonly memory: { readonly rss_bytes: number };
  readonly configuration: { readonly revision: number };
}

let upstream: EchoUpstream;
let cluster: Cluster;
/** Signs anything. */
let hostile: ScriptedControlPlane;
let server: WebSocketServer;
let node: Program;

beforeAll(async () => {
  upstream = await startEchoUpstream();
  cluster = await Cluster.start();
  hostile = await ScriptedControlPlane.create(nodeCrypto, nodeRandom);
  server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: SYNC_PATH });
  await new Promise((resolve) => server.once('listening', resolve));
  const bound = server.address();
  const address = `ws://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`;
  server.on('connection', (socket) => {
    const events = hostile.accept({
      address,
      send: (text) => socket.send(text),
      close: (code, reason) => socket.close(code, reason),
    });
    socket.on('message', (data) => events.message(String(data)));
    socket.on('close', () => events.close());
  });
  await hostile.publish(healthy());
  const env = { HEADGATE_CONTROL_PLANES: address, HEADGATE_JOIN_TOKEN: hostile.joinToken };
  node = await cluster.startNode({ ...env, HEADGATE_PROXY_ACCESS_LOG: 'off' }, 'hostile');
  await answers(node.url('proxy'), '/healthy', 200);
}, 60_000);
afterAll(async () => {
  for (const socket of server?.clients ?? []) socket.terminate();
  server?.close();
  await cluster?.close();
  await upstream?.close();
});

function healthy(): ConfigRecord[] {
  const config = new TestConfig();
  for (const [kind, input] of wellRecords(upstream.host, upstream.port)) config.add(kind, input);
  return [...config.replica().tree.records()];
}

/** The well-formed entity with what is wrong of it, as a record; null where it has no canonical text. */
function recordOf({ kind, change }: Poison): ConfigRecord | null {
  const config = new TestConfig();
  let whole: JsonObject = { id: POISON };
  const sample = SAMPLES[kind];
  if (sample !== undefined) {
    try {
      whole = config.add(kind, sample);
    } catch {
      // A sample that is itself refused, as certificates are here.
      whole = sample;
    }
  }
  const body = { ...whole, ...change, id: POISON };
  try {
    return makeRecord({ kind, ws: config.ws, id: POISON, placement: POISON }, body, nodeCrypto);
  } catch {
    return null;
  }
}

function answerTo(hash: string): FrameOf<'ack'> | FrameOf<'nack'> | undefined {
  for (const frame of hostile.heard.toReversed()) {
    if ((frame.type === 'ack' || frame.type === 'nack') && frame.position.hash === hash)
      return frame;
  }
  return undefined;
}

async function publish(
  records: readonly ConfigRecord[],
  removals: readonly ConfigRecord[],
): Promise<FrameOf<'ack'> | FrameOf<'nack'>> {
  const { position } = await hostile.publish(records, removals);
  return eventually('an answer', () => answerTo(position.hash), ANSWER_MS_MAX);
}

async function statusOf(of: Program): Promise<Status> {
  return (await send(of.url('status'), '/status')).json() as Status;
}

it(
  'over 200 poisoned configurations hurt nobody but themselves',
  { timeout: 300_000 },
  async () => {
    const all = poisons();
    expect(all.length).toBeGreaterThanOrEqual(COUNT_MIN);
    const base = node.url('proxy');
    const stop = startSteadyLoad({ base, path: '/healthy', host: 'healthy.test', status: 200 });
    const seen = { quarantined: 0, refused: 0, harmless: 0, unsayable: 0 };
    const slow: string[] = [];
    const through: string[] = [];
    for (const poison of all) {
      const record = recordOf(poison);
      if (record === null) {
        seen.unsayable += 1;
        continue;
      }
      const startedMs = performance.now();
      const answer = await publish([record], []);
      const tookMs = performance.now() - startedMs;
      if (tookMs > 2_000) slow.push(`${poison.name}: ${Math.round(tookMs)} ms`);
      if (answer.type === 'nack') {
        seen.refused += 1;
        expect([poison.name, answer.code, poison.mayRefuse ?? !!answer.entity]).toEqual([
          poison.name,
          'build_failed',
          true,
        ]);
      } else if (answer.quarantined.length > 0) {
        seen.quarantined += 1;
        // By name: it, or what it points to and is not there.
        const { quarantined } = await statusOf(node);
        expect(quarantined.length, poison.name).toBeGreaterThan(0);
        const isOwn = quarantined.some(({ kind, id }) => kind === 'routes' && id === POISON);
        if (isOwn && !('hosts' in poison.change)) {
          // `/` must not get what it no longer answers.
          const bad = await send(base, '/bad/x', { headers: { host: 'bad.test', 'x-a': 'b' } });
          through.push(...(bad.status === 503 ? [] : [`${poison.name}: ${bad.status}`]));
        }
      } else {
        seen.harmless += 1;
      }
      const root = await send(base, '/healthy/x');
      expect([poison.name, root.status]).toEqual([poison.name, 200]);
      const mended = await publish([], [record]);
      expect([poison.name, mended.type, 'quarantined' in mended && mended.quarantined]).toEqual([
        poison.name,
        'ack',
        [],
      ]);
    }
    const { latencies, failures } = await stop();
    if (failures.length > 0) console.log(failures.join('\n'), node.output.slice(-2000));
    const { memory } = await statusOf(node);
    const rssMb = Math.round(memory.rss_bytes / 1024 / 1024);
    console.log(
      `${all.length} poisons: ${JSON.stringify(seen)}; ${latencies.length} requests meanwhile, ` +
        `${failures.length} failed; ${rssMb} MB; slow: ${slow.join(', ') || 'none'}`,
    );
    expect(through).toEqual([]);
    expect(failures).toEqual([]);
    expect(latencies.length).toBeGreaterThan(1_000);
    expect(memory.rss_bytes).toBeLessThan(RSS_BYTES_MAX);
    // As it was started: it never ended.
    expect((await send(base, '/healthy')).status).toBe(200);
  },
);

it(
  'the Admin API refuses them as they are written, and what it takes is published and hurts nobody',
  { timeout: 300_000 },
  async () => {
    const { admin } = cluster;
    await admin.ok('PUT', `/services/${ECHO_SERVICE}`, {
      name: 'echo',
      host: upstream.host,
      port: upstream.port,
    });
    const well = wellRecords(upstream.host, upstream.port).slice(1);
    for (const [kind, body] of well) await admin.post(`/${kind}`, body);
    const token = await admin.joinToken();
    const honest = await cluster.startNode({ HEADGATE_JOIN_TOKEN: token }, 'honest');
    await answers(honest.url('proxy'), '/healthy', 200);
    const base = honest.url('proxy');
    const stop = startSteadyLoad({ base, path: '/healthy', host: 'healthy.test', status: 200 });
    const seen = { refused: 0, taken: 0 };
    for (const { name, kind, change } of poisons()) {
      const sample = SAMPLES[kind];
      if (sample === undefined || kind === 'keyauth_credentials') continue;
      const path = kind === 'targets' ? '/upstreams/pool.test/targets' : `/${kind}`;
      const answer = await admin.call('POST', path, { ...sample, ...change });
      if (answer.status >= 500) throw new Error(`${name}: ${answer.status} ${answer.text}`);
      if (answer.status >= 300) {
        seen.refused += 1;
        continue;
      }
      seen.taken += 1;
      await admin.call('DELETE', `${path}/${POISON}`);
    }
    await admin.post('/routes', {
      name: 'last',
      paths: ['/last'],
      service: { id: ECHO_SERVICE },
    });
    await answers(base, '/last', 200);
    const { failures, latencies } = await stop();
    console.log(`Admin API: ${JSON.stringify(seen)}; ${latencies.length} requests meanwhile`);
    expect(failures).toEqual([]);
    expect(seen.refused).toBeGreaterThan(100);
    expect((await statusOf(honest)).quarantined).toEqual([]);
  },
);
