/**
 * Partitions by the kernel, run by `partition.slow.test.ts` in a network namespace of its own, where
 * nothing else can be hit: the firewall swallows packets of established connections, one way or both,
 * so that no end is told that the other has gone. Prints what it saw as one line of JSON.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { must } from '#shared/base/assert.ts';
import { answers } from '../support/cluster.ts';
import { startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { Fleet, freePorts, type Member } from './fleet.ts';
import { check, type HistoryEvent } from './history.ts';
import { Client } from './traffic.ts';

/** By what is swallowed, as seen from the data plane. */
const PARTITIONS = ['both', 'up', 'down'] as const;
type Partition = (typeof PARTITIONS)[number];

export interface PartitionResult {
  /** From the partition until the data plane said that it is cut off, and the control plane too. */
  readonly noticedMs: Readonly<Record<Partition, { readonly node: number; readonly cp: number }>>;
  /** From the partition until no connection was established at the control plane's ends. */
  readonly freedMs: number;
  /** From the end of the partition until all data planes served a new change. */
  readonly healedMs: number;
  readonly failures: number;
  readonly requests: number;
}

const NOTICED_MS_MAX = 60_000;
const HEALED_MS_MAX = 60_000;
const TABLE = 'inet headgate_chaos';
const ESTABLISHED = '01';

const nft = (...words: string[]): void => void execFileSync('/usr/sbin/nft', words);

function swallow(partition: Partition, port: number): void {
  const ways = { both: ['dport', 'sport'], up: ['dport'], down: ['sport'] }[partition];
  for (const way of ways) {
    nft('add', 'rule', ...TABLE.split(' '), 'faults', 'tcp', way, String(port), 'drop');
  }
}

/** Both ends of connections on this machine are counted; those that were answered only. */
function establishedOn(ports: readonly number[]): number {
  const wanted = new Set(ports.map((port) => port.toString(16).toUpperCase().padStart(4, '0')));
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => state === ESTABLISHED && wanted.has(local.slice(-4)))
    .length;
}

async function isConnected(node: Member): Promise<boolean> {
  const status = (await send(node.url('status'), '/status')).json();
  // The status page of this repository.
  return (status as { control_plane: { connected: boolean } }).control_plane.connected;
}

/** Whether the control plane believes that the n-th node that joined is there. */
async function isListed(fleet: Fleet, index: number): Promise<boolean> {
  const { data } = await fleet.admin().ok('GET', '/clustering/data-planes');
  const nodes = data as readonly { connected: boolean }[];
  return must(nodes[index], 'a node, in the order of joining').connected;
}

async function run(): Promise<PartitionResult> {
  execFileSync('/usr/sbin/ip', ['link', 'set', 'lo', 'up']);
  nft('add', 'table', ...TABLE.split(' '));
  nft('add', 'chain', ...TABLE.split(' '), 'faults', '{ type filter hook input priority 0; }');
  const ports = await freePorts(PARTITIONS.length);
  const echo = await startEcho('one');
  const fleet = await Fleet.start({
    databaseUrl: null,
    env: { HEADGATE_CLUSTER_LISTEN: ports.map((port) => `127.0.0.1:${port}`).join(',') },
  });
  try {
    await fleet.admin().post('/services', { name: 'echo', url: `http://${echo.address}` });
    await fleet.admin().post('/services/echo/routes', { paths: ['/steady'] });
    for (const port of ports) await fleet.addDataPlane([`ws://127.0.0.1:${port}`]);
    return await observe(fleet, ports);
  } finally {
    await fleet.close();
    await echo.close();
  }
}

async function observe(fleet: Fleet, ports: readonly number[]): Promise<PartitionResult> {
  const history: HistoryEvent[] = [];
  const clients = fleet.dataPlanes.map(
    (node) => new Client(node, '/steady', (event) => history.push(event)),
  );
  for (const node of fleet.dataPlanes) await answers(node.url('proxy'), '/steady', 200);
  for (const client of clients) client.start();
  PARTITIONS.forEach((partition, index) => swallow(partition, must(ports[index], 'a port')));
  const startedMs = performance.now();
  const noticed = async (what: string, isThere: () => Promise<boolean>): Promise<number> => {
    await eventually(what, async () => !(await isThere()), NOTICED_MS_MAX);
    return performance.now() - startedMs;
  };
  const entries = await Promise.all(
    PARTITIONS.map(async (partition, index) => {
      const node = must(fleet.dataPlanes[index], 'a data plane');
      const [atNode, atControlPlane] = await Promise.all([
        noticed(`${partition}: the data plane to notice`, () => isConnected(node)),
        noticed(`${partition}: the control plane to notice`, () => isListed(fleet, index)),
      ]);
      return [partition, { node: atNode, cp: atControlPlane }] as const;
    }),
  );
  await eventually('no connection', () => establishedOn(ports) === 0, NOTICED_MS_MAX);
  const freedMs = performance.now() - startedMs;
  nft('flush', 'table', ...TABLE.split(' '));
  const healedAt = performance.now();
  await fleet.admin().post('/services/echo/routes', { paths: ['/healed'] });
  for (const node of fleet.dataPlanes) {
    await answers(node.url('proxy'), '/healed', 200, HEALED_MS_MAX);
  }
  const healedMs = performance.now() - healedAt;
  for (const client of clients) await client.stop();
  return {
    // One entry for each of them.
    noticedMs: Object.fromEntries(entries) as PartitionResult['noticedMs'],
    freedMs,
    healedMs,
    failures: check(history, { convergenceMs: 0 }).length,
    requests: clients.reduce((sum, client) => sum + client.done, 0),
  };
}

console.log(JSON.stringify(await run()));
