/**
 * What a fleet costs one control plane: it connects and fetches a configuration, hears of changes, and
 * comes back together after its control plane was killed.
 */
import { readFile } from 'node:fs/promises';
import type { AdminClient } from '../support/admin-client.ts';
import { busyFactor } from '../support/busy.ts';
import { send } from '../support/http-client.ts';
import { Fleet, clusterAddress, type Member } from './fleet.ts';
import { quantile, Swarm } from './swarm.ts';

export interface SwarmRunOptions {
  readonly databaseUrl: string;
  readonly nodes: number;
  /** Routes of some 400 bytes: 2,500 make a megabyte. */
  readonly routes: number;
  readonly changes: number;
}

/** Milliseconds and megabytes. */
export interface SwarmFigures {
  /** From the first dial until all nodes had enrolled and held everything. */
  readonly enrolledMs: number;
  /** From an Admin answer to the last acknowledgement, one per change, ascending. */
  readonly lastAckMs: readonly number[];
  /** The same for every node and change. */
  readonly ackMs: readonly number[];
  /** From kill -9 until a share of the nodes, or all, held a change made after the restart. */
  readonly restart: {
    readonly p95Ms: number;
    readonly allMs: number;
    readonly dialled: number;
    /** Of the control plane, its start included. */
    readonly cpuMs: number;
  };
  readonly adminMs: { readonly p50: number; readonly p99: number; readonly failed: number };
  /** Processor time of one change, on average: what it costs the control plane, and the light nodes. */
  readonly changeCpuMs: { readonly controlPlane: number; readonly swarm: number };
  /** Highest so far, of either process that was the control plane. */
  readonly rssMb: number;
  readonly swarmMb: number;
  /** Bytes of the configuration as the Admin API shows it. */
  readonly configBytes: number;
  /** How many times longer work takes than it would on an idle machine; 1: not at all. */
  readonly starvation: number;
}

const ENROL_MS_MAX = 240_000;
const CHANGE_MS_MAX = 30_000;
const RESTART_MS_MAX = 120_000;
const PROBE_INTERVAL_MS = 50;

export async function runSwarm(options: SwarmRunOptions): Promise<SwarmFigures> {
  const fleet = await Fleet.start({ databaseUrl: options.databaseUrl });
  let swarm: Swarm | null = null;
  try {
    const [controlPlane] = fleet.controlPlanes;
    if (controlPlane === undefined) throw new Error('a control plane was started');
    const admin = fleet.admin();
    const workspace = String((await admin.ok('GET', '/workspaces/default'))['id']);
    const { version, bytes } = await configure(admin, options.routes);
    const startedMs = wall();
    swarm = await Swarm.start({
      nodes: options.nodes,
      controlPlanes: [clusterAddress(controlPlane)],
      workspace,
      joinToken: async (uses) =>
        String((await admin.post('/clustering/join-tokens', { uses }))['token']),
    });
    const enrolled = await swarm.all(version, ENROL_MS_MAX);
    let rssMb = await peakMb(controlPlane);
    const starvedBefore = busyFactor();
    const changed = await change(controlPlane, admin, swarm, options.changes);
    rssMb = Math.max(rssMb, await peakMb(controlPlane));
    const starvedBetween = busyFactor();
    const restart = await killAndRestart(controlPlane, fleet, swarm);
    rssMb = Math.max(rssMb, await peakMb(controlPlane));
    return {
      enrolledMs: (enrolled.at(-1) ?? 0) - startedMs,
      ...changed,
      restart: restart.figures,
      adminMs: restart.admin,
      rssMb,
      swarmMb: (await swarm.reached(0)).rssBytes / 1e6,
      configBytes: bytes,
      starvation: Math.max(starvedBefore, starvedBetween, busyFactor()),
    };
  } finally {
    swarm?.close();
    await fleet.close();
  }
}

const wall = (): number => performance.timeOrigin + performance.now();

/** @returns the version that contains it all */
async function configure(admin: AdminClient, routes: number) {
  await admin.post('/services', { name: 'swarm', url: 'http://127.0.0.1:9' });
  const operations = Array.from({ length: routes }, (_, i) => ({
    op: 'create',
    path: '/services/swarm/routes',
    body: { name: `route-${i}`, paths: [`/swarm/${i}`], tags: ['swarm', `number-${i}`] },
  }));
  const answer = await admin.call('POST', '/headgate/bulk', { operations });
  if (answer.status !== 200) throw new Error(answer.text);
  const { operations: done } = answer.json() as { operations: { entity: object }[] };
  const bytes = done.reduce((sum, { entity }) => sum + JSON.stringify(entity).length, 0);
  return { version: Number(answer.headers['headgate-version']), bytes };
}

/** One change after the other, each when the one before has arrived everywhere. */
async function change(controlPlane: Member, admin: AdminClient, swarm: Swarm, changes: number) {
  const lastAckMs: number[] = [];
  const ackMs: number[] = [];
  const before = [await cpuMs(controlPlane), (await swarm.reached(0)).cpuMs] as const;
  for (let i = 0; i < changes; i++) {
    const version = await edit(admin, `change-${i}`);
    const answeredMs = wall();
    const times = await swarm.all(version, CHANGE_MS_MAX);
    for (const at of times) ackMs.push(at - answeredMs);
    lastAckMs.push((times.at(-1) ?? Number.POSITIVE_INFINITY) - answeredMs);
  }
  const after = [await cpuMs(controlPlane), (await swarm.reached(0)).cpuMs] as const;
  return {
    lastAckMs: lastAckMs.toSorted((a, b) => a - b),
    ackMs: ackMs.toSorted((a, b) => a - b),
    changeCpuMs: {
      controlPlane: (after[0] - before[0]) / changes,
      swarm: (after[1] - before[1]) / changes,
    },
  };
}

/** @returns the version that it made */
async function edit(admin: AdminClient, tag: string): Promise<number> {
  const answer = await admin.call('PATCH', '/routes/route-0', { tags: [tag] });
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  return Number(answer.headers['headgate-version']);
}

/** Killed and started at once; a change right after, which all nodes have to come to hold. */
async function killAndRestart(controlPlane: Member, fleet: Fleet, swarm: Swarm) {
  const before = await swarm.reached(0);
  await controlPlane.kill();
  const killedMs = wall();
  await controlPlane.start();
  const probe = new AdminProbe(controlPlane);
  const version = await edit(fleet.admin(), 'after the restart');
  const times = await swarm.all(version, RESTART_MS_MAX);
  const after = await swarm.reached(version);
  return {
    figures: {
      p95Ms: quantile(times, 0.95) - killedMs,
      allMs: quantile(times, 1) - killedMs,
      dialled: after.dialled - before.dialled,
      cpuMs: await cpuMs(controlPlane),
    },
    admin: await probe.stop(),
  };
}

/** Asks the Admin API all the time, at a rate that does not depend on the answers. */
class AdminProbe {
  readonly #times: number[] = [];
  readonly #under = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #failed = 0;

  constructor(member: Member) {
    this.#timer = setInterval(() => {
      const asking = this.#ask(member.url('admin')).finally(() => this.#under.delete(asking));
      this.#under.add(asking);
    }, PROBE_INTERVAL_MS);
  }

  async stop() {
    clearInterval(this.#timer);
    await Promise.all(this.#under);
    const times = this.#times.toSorted((a, b) => a - b);
    return { p50: quantile(times, 0.5), p99: quantile(times, 0.99), failed: this.#failed };
  }

  async #ask(base: string): Promise<void> {
    const startedMs = performance.now();
    const { status } = await send(base, '/routes?size=10').catch(() => ({ status: 0 }));
    if (status !== 200) this.#failed++;
    this.#times.push(performance.now() - startedMs);
  }
}

/** Highest resident memory of a process so far, by the kernel's count. */
async function peakMb(member: Member): Promise<number> {
  const status = await readFile(`/proc/${member.program.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1_000;
}

/** Kernel ticks are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

/** Processor time of a process so far, user and system. */
async function cpuMs(member: Member): Promise<number> {
  const stat = await readFile(`/proc/${member.program.pid}/stat`, 'utf8');
  // After the name, which may hold anything: the state is field 3, the times are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
