/**
 * `npm run bench`: CPU microseconds per proxied request of the Node data plane beside nginx, on one
 * core, in one run. CPU per request and the ratio to nginx are the figures to trust; throughput on a
 * shared machine swings several-fold.
 *
 * Settings: BENCH_ROUNDS (5), BENCH_SECONDS (2) per
 * round, BENCH_CONNECTIONS (64), BENCH_JSON=1.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigRecord } from '#shared/config/record.ts';
import { TestCluster } from '../support/dp-folder.ts';
import { full, plain, routes, routesScript, SPREAD_SCRIPT } from './configurations.ts';
import { median, sample, type Load, type Sample } from './measure.ts';
import {
  missingTools,
  PROXY_CORE,
  startNginxProxy,
  startPinned,
  startUpstream,
  type Peer,
} from './peers.ts';

const PORTS = { upstream: 9301, nginx: 9310, bare: 9314, plain: 9311, full: 9312, log: 9313 };
const ROUTES_PORT = 9320;
/** What a request costs must not depend on how many routes there are. */
const ROUTE_COUNTS = [1, 1_000, 100_000];
const MAIN = fileURLToPath(new URL('../../node-dp/main.ts', import.meta.url));
const BARE = fileURLToPath(new URL('./bare-proxy.ts', import.meta.url));

interface Target {
  readonly peer: Peer;
  readonly load: Load;
}

interface Figure {
  readonly name: string;
  readonly cpuMicros: number;
  readonly cpuMicrosLeast: number;
  readonly requestsPerSecond: number;
  /** To the first target, from medians. */
  readonly ratio: number;
  readonly problems: readonly string[];
}

const missing = missingTools();
if (missing !== null) {
  console.error(`bench: ${missing}`);
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'headgate-bench-'));
const started: Peer[] = [];
try {
  report(await measure(await startAll()));
} finally {
  await Promise.all(started.map((peer) => peer.stop()));
  rmSync(folder, { recursive: true, force: true });
}

async function startAll(): Promise<Target[]> {
  const cluster = await TestCluster.create();
  const script = join(folder, 'spread.lua');
  writeFileSync(script, SPREAD_SCRIPT);
  const load: Load = {
    path: '/svc5/abc',
    header: 'apikey: key-77',
    script: null,
    connections: number('BENCH_CONNECTIONS', 64),
    seconds: number('BENCH_SECONDS', 2),
  };
  const spread = { ...load, script, header: null };
  await keep(startUpstream(folder, PORTS.upstream));
  const records = plain(PORTS.upstream);
  const everything = full(cluster, PORTS.upstream);
  return [
    { peer: await keep(startNginxProxy(folder, PORTS.nginx, PORTS.upstream)), load },
    { peer: await bareProxy(), load },
    { peer: await dataPlane('dp: 1 route', PORTS.plain, { cluster, records }), load },
    {
      peer: await dataPlane('dp: 1000 routes, key-auth, rate-limiting', PORTS.full, {
        cluster,
        records: everything,
      }),
      load: spread,
    },
    {
      peer: await dataPlane('dp: 1 route, access log', PORTS.log, { cluster, records, log: true }),
      load,
    },
    ...(await spreadOverRoutes(cluster, load)),
  ];
}

async function spreadOverRoutes(cluster: TestCluster, load: Load): Promise<Target[]> {
  const targets: Target[] = [];
  for (const [i, count] of ROUTE_COUNTS.entries()) {
    const script = join(folder, `routes-${count}.lua`);
    writeFileSync(script, routesScript(count));
    const records = routes(PORTS.upstream, count);
    const name = `dp: spread over ${count} routes`;
    const peer = await dataPlane(name, ROUTES_PORT + i, { cluster, records });
    targets.push({ peer, load: { ...load, script, header: null } });
  }
  return targets;
}

/** The runtime's own cost, to read the others by. */
function bareProxy(): Promise<Peer> {
  const command = [process.execPath, BARE, String(PORTS.bare), `127.0.0.1:${PORTS.upstream}`];
  return keep(startPinned('node:http + undici, bare', PORTS.bare, PROXY_CORE, command, {}));
}

async function keep(starting: Promise<Peer>): Promise<Peer> {
  const peer = await starting;
  started.push(peer);
  return peer;
}

interface DataPlaneOptions {
  readonly cluster: TestCluster;
  readonly records: readonly ConfigRecord[];
  readonly log?: boolean;
}

async function dataPlane(name: string, port: number, options: DataPlaneOptions): Promise<Peer> {
  const dataDir = join(folder, `dp-${port}`);
  await options.cluster.furnish(dataDir, options.records);
  const profile = process.env['BENCH_CPU_PROF'];
  const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}/${port}`];
  return keep(
    startPinned(name, port, PROXY_CORE, [process.execPath, ...flags, MAIN], {
      HEADGATE_DATA_DIR: dataDir,
      HEADGATE_PROXY_LISTEN: `127.0.0.1:${port}`,
      HEADGATE_STATUS_LISTEN: 'off',
      HEADGATE_LOG_LEVEL: 'error',
      HEADGATE_PROXY_ACCESS_LOG: options.log === true ? 'stdout' : 'off',
      // Nobody is there: the data plane serves from its cache.
      HEADGATE_CONTROL_PLANES: 'ws://127.0.0.1:1',
    }),
  );
}

/** All targets in turn, round after round, after one that only warms up. */
async function measure(targets: readonly Target[]): Promise<Figure[]> {
  const samples = targets.map((): Sample[] => []);
  const rounds = number('BENCH_ROUNDS', 5);
  for (let round = 0; round <= rounds; round += 1) {
    for (const [i, { peer, load }] of targets.entries()) {
      const taken = await sample(peer, load);
      if (round > 0) samples[i]?.push(taken);
    }
  }
  const base = median((samples[0] ?? []).map(({ cpuMicros }) => cpuMicros));
  return targets.map(({ peer }, i) => figureOf(peer.name, samples[i] ?? [], base));
}

function figureOf(name: string, samples: readonly Sample[], base: number): Figure {
  const cpu = samples.map(({ cpuMicros }) => cpuMicros);
  return {
    name,
    cpuMicros: median(cpu),
    cpuMicrosLeast: Math.min(...cpu),
    requestsPerSecond: median(samples.map(({ requestsPerSecond }) => requestsPerSecond)),
    ratio: median(cpu) / base,
    problems: samples.map(({ problem }) => problem).filter((problem) => problem !== null),
  };
}

function report(figures: readonly Figure[]): void {
  if (process.env['BENCH_JSON'] !== undefined) {
    console.log(JSON.stringify(figures));
    return;
  }
  for (const { name, cpuMicros, cpuMicrosLeast, requestsPerSecond, ratio, problems } of figures) {
    const columns = [
      name.padEnd(42),
      `${cpuMicros.toFixed(1).padStart(7)} us/request`,
      `(least ${cpuMicrosLeast.toFixed(1)})`,
      `${Math.round(requestsPerSecond)} requests/s`.padStart(18),
      `x${ratio.toFixed(2)}`,
      ...problems.slice(0, 1),
    ];
    console.log(columns.join('  '));
  }
}

function number(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return Number.isFinite(value) && value > 0 ? value : otherwise;
}
