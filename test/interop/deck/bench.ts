/**
 * `npm run bench:deck [-- --database pglite|postgres]`: how long `deck gateway sync` takes for 10,000 routes
 * of 1,000 services, and how much of that is the control plane's. CPU times travel between machines; wall
 * times do not. DECK_ROUTES changes the number.
 */
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ControlPlane,
  type DatabaseName,
  startControlPlane,
} from '../support/control-plane.ts';
import { missingGo } from '../support/go.ts';
import { readOptions } from '../support/options.ts';
import { buildDeck, Deck, type DeckBuild } from './deck.ts';
import { range, type State } from './state.ts';

const LOGS = fileURLToPath(new URL('../../../.tsbuild/interop/', import.meta.url));
const ROUTES = Number(process.env['DECK_ROUTES'] ?? 10_000);
const ROUTES_PER_SERVICE = 10;

const missing = missingGo();
if (missing !== null) {
  console.error(`bench:deck: ${missing}`);
  process.exit(2);
}
const build = await buildDeck();
try {
  for (const database of readOptions(process.argv.slice(2)).databases) {
    await measure(database, build);
  }
} finally {
  build.remove();
}

async function measure(database: DatabaseName, deckBuild: DeckBuild): Promise<void> {
  mkdirSync(LOGS, { recursive: true });
  const log = createWriteStream(join(LOGS, `deck-bench-${database}.log`));
  const controlPlane = await startControlPlane(database);
  const deck = new Deck(deckBuild, controlPlane.url, log);
  const quiet = ['--silence-events'];
  try {
    const file = deck.write('bench', manyRoutes());
    const entities = ROUTES + ROUTES / ROUTES_PER_SERVICE;
    console.log(`decK on ${database}: ${ROUTES} routes, ${entities} entities`);
    await timed(controlPlane, 'diff against nothing', () => deck.diff(file, ...quiet));
    const ms = await timed(controlPlane, 'sync', () => deck.sync(file, ...quiet));
    console.log(`  ${Math.round(entities / (ms / 1000))} writes/s, ten at once`);
    await timed(controlPlane, 'sync again, nothing to do', () => deck.sync(file, ...quiet));
    await timed(controlPlane, 'dump', () => deck.dump());
  } finally {
    deck.close();
    await controlPlane.stop();
    log.end();
  }
}

/** @returns wall time */
async function timed(
  controlPlane: ControlPlane,
  name: string,
  work: () => Promise<unknown>,
): Promise<number> {
  const [server, client, started] = [controlPlane.cpuMs(), childrenCpuMs(), performance.now()];
  await work();
  const wallMs = performance.now() - started;
  const serverMs = controlPlane.cpuMs() - server;
  const clientMs = childrenCpuMs() - client;
  const share = Math.round((100 * serverMs) / (serverMs + clientMs));
  const [wall, inServer, inClient] = [wallMs, serverMs, clientMs].map((ms) =>
    (ms / 1000).toFixed(2),
  );
  console.log(
    `  ${name.padEnd(26)} ${wall} s wall; CPU: control plane ${inServer} s (${share} %), decK ${inClient} s`,
  );
  return wallMs;
}

/** CPU time of the children that have ended: decK. The control plane has not. */
function childrenCpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

function manyRoutes(): State {
  return {
    _format_version: '3.0',
    services: range(ROUTES / ROUTES_PER_SERVICE).map((i) => ({
      name: `service-${i}`,
      host: `service-${i}.example.com`,
      routes: range(ROUTES_PER_SERVICE).map((j) => ({
        name: `route-${i}-${j}`,
        paths: [`/service-${i}/route-${j}`],
      })),
    })),
  };
}
