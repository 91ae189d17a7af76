/** What goes wrong in the simulated world, and how it is made good in the end. */
import { Disk } from './disk.ts';
import type { Attacker } from './attacker.ts';
import type { Machine, World } from './world.ts';
import type { Writer } from './writer.ts';

export interface Hands {
  readonly world: World;
  readonly writer: Writer;
  readonly attacker: Attacker;
}

type Fault = (hands: Hands) => void;

/** Name → how often, and what. */
const FAULTS: Readonly<Record<string, readonly [number, Fault]>> = {
  'control plane killed': [
    4,
    ({ world }) => {
      const name = world.pick(world.names);
      if (name !== null) world.killControlPlane(name, world.random.below(8_000));
    },
  ],
  'control plane stopped': [
    2,
    ({ world }) => {
      const name = world.pick(world.names);
      if (name !== null) world.stopControlPlane(name, world.random.below(8_000));
    },
  ],
  'control plane paused': [
    3,
    ({ world }) => {
      const cp = world.pick(world.liveControlPlanes);
      if (cp === null || cp.process.isPaused) return;
      cp.process.pause();
      world.scheduler.after(world.random.below(30_000), () => cp.process.resume());
    },
  ],
  'data plane killed': [
    6,
    ({ world }) => {
      const machine = world.pick(world.runningMachines);
      if (machine === null) return;
      world.killMachine(machine);
      world.scheduler.after(world.random.below(6_000), () => world.startMachine(machine));
    },
  ],
  'data plane killed, its configuration lost': [
    2,
    ({ world }) => {
      const machine = world.pick(world.runningMachines);
      if (machine === null) return;
      world.killMachine(machine);
      machine.disk.config = null;
      world.scheduler.after(world.random.below(3_000), () => world.startMachine(machine));
    },
  ],
  'data plane paused': [
    2,
    ({ world }) => {
      const dp = world.pick(world.runningMachines)?.running;
      if (dp === undefined || dp === null) return;
      dp.process.pause();
      world.scheduler.after(world.random.below(30_000), () => dp.process.resume());
    },
  ],
  'data plane joins': [
    3,
    ({ world }) => {
      const group = world.pick(world.base.groups);
      if (group !== null && world.machines.length < 24) join(world, group);
    },
  ],
  'data plane copied': [
    1,
    ({ world }) => {
      const original = world.pick(
        world.machines.filter((machine) => machine.disk.identity !== null),
      );
      if (original === null) return;
      original.wasCloned = true;
      const clone = world.addMachine(original.joins, original.disk.copy(), original);
      world.startMachine(clone);
      world.scheduler.after(world.random.below(20_000), () => world.killMachine(clone));
    },
  ],
  'data plane revoked': [1, (hands) => void revoke(hands).catch(() => {})],
  'connection cut': [6, ({ world }) => world.pick([...world.network.links])?.cut()],
  'connection dead': [3, ({ world }) => world.pick([...world.network.links])?.vanish()],
  'reader slow': [
    3,
    ({ world }) => {
      const link = world.pick([...world.network.links]);
      if (link !== null) link.isSlow = true;
    },
  ],
  'network one-way': [
    4,
    ({ world }) => partition(world, world.random.chance(0.5) ? ['up'] : ['down']),
  ],
  'network partition': [3, ({ world }) => partition(world, ['up', 'down'])],
  'network whole again': [5, ({ world }) => world.network.heal()],
  'network attacked': [5, ({ attacker }) => void attacker.strike()],
  'somebody between': [3, ({ attacker }) => attacker.toggle()],
  'database killed': [
    2,
    ({ world }) => {
      world.database.crash();
      world.scheduler.after(world.random.below(6_000), () => world.database.recover());
    },
  ],
  'database cut off': [
    3,
    ({ world }) => {
      const cp = world.pick(world.liveControlPlanes);
      if (cp === null) return;
      world.database.cutOff(cp.process);
      world.scheduler.after(world.random.below(15_000), () => world.database.join(cp.process));
    },
  ],
  'notifications lost': [
    2,
    ({ world }) => {
      world.database.isDeaf = !world.database.isDeaf;
    },
  ],
  'database slow': [
    2,
    ({ world }) => {
      world.database.slownessMs = world.random.chance(0.5) ? 0 : world.random.below(300);
    },
  ],
  'failover with a lost tail': [1, ({ world }) => failOver(world, world.random.below(4_000))],
  'disk full': [
    3,
    ({ world }) => {
      const disk = world.pick(world.machines)?.disk;
      if (disk !== undefined) disk.isFull = !disk.isFull;
    },
  ],
  'disk slow': [
    2,
    ({ world }) => {
      const disk = world.pick(world.machines)?.disk;
      if (disk !== undefined) disk.slownessMs = world.random.below(12_000);
    },
  ],
  'clock jumps': [
    2,
    ({ world }) => {
      const jumpMs = (world.random.next() - 0.5) * 1e9;
      const process = world.random.chance(0.5)
        ? world.pick(world.liveControlPlanes)?.process
        : world.pick(world.runningMachines)?.running?.process;
      if (process !== undefined) process.skewMs += jumpMs;
    },
  ],
  'group secret renewed': [1, (hands) => void renewSecret(hands).catch(() => {})],
  'builds fail': [
    2,
    ({ world }) => {
      world.clumsiness = world.random.chance(0.5) ? 0 : 0.2;
    },
  ],
  'a write': [25, ({ writer }) => void writer.write()],
};

/** In one history. */
const FAILOVERS_MAX = 3;

const NAMES = Object.keys(FAULTS).flatMap((name) =>
  Array.from({ length: FAULTS[name]?.[0] ?? 0 }, () => name),
);

/** @param allowed  of this run: few at a time find more than all at once */
export function strike(hands: Hands, allowed: ReadonlySet<string>): void {
  const { world } = hands;
  const name = world.pick(NAMES.filter((candidate) => allowed.has(candidate)));
  if (name === null) return;
  world.scheduler.trace(`fault: ${name}`);
  FAULTS[name]?.[1](hands);
}

/** A part of all faults; writing is always among them. */
export function someFaults(world: World): ReadonlySet<string> {
  const chance = 0.15 + world.random.next() * 0.7;
  const names = Object.keys(FAULTS).filter(() => world.random.chance(chance));
  return new Set([...names, 'a write', 'network whole again']);
}

export function join(world: World, group: World['base']['groups'][number]): Machine {
  const machine = world.addMachine(group, new Disk(world.fork()));
  world.startMachine(machine);
  return machine;
}

/** Everything works again. */
export function heal({ world, attacker }: Hands): void {
  attacker.stop();
  const { network, database } = world;
  network.heal();
  network.harshness = 0;
  network.latencyMs = 20;
  database.isDeaf = false;
  database.slownessMs = 0;
  database.commitSlownessMs = 0;
  database.recover();
  world.clumsiness = 0;
  for (const name of world.names) {
    const cp = world.controlPlanes.get(name);
    cp?.process.resume();
    if (cp !== undefined) database.join(cp.process);
    world.startControlPlane(name);
  }
  for (const machine of world.machines) {
    machine.disk.isFull = false;
    machine.disk.slownessMs = 3;
    machine.running?.process.resume();
    if (machine.cloneOf !== null) world.killMachine(machine);
    else world.startMachine(machine);
  }
  for (const link of network.links) link.isSlow = false;
  network.heal();
}

function partition(world: World, ways: readonly ('up' | 'down')[]): void {
  const machines = world.runningMachines.filter(() => world.random.chance(0.5));
  const urls = [...world.controlPlanes.values()].map(({ url }) => url);
  const url = world.pick(urls);
  if (url === null) return;
  for (const { name } of machines) for (const way of ways) world.network.block(name, url, way);
}

/** A standby takes over that lacks the end. Control planes are restarted, or find out by themselves. */
export function failOver(world: World, lostMs: number): void {
  if (world.failovers >= FAILOVERS_MAX) return;
  world.failovers += 1;
  world.oracle.hasLostTail = true;
  world.database.goBack(lostMs);
  if (world.random.chance(0.5)) {
    for (const name of world.names) world.killControlPlane(name, 1_000 + world.random.below(3_000));
  }
  world.scheduler.after(1_000, () => world.database.recover());
}

export async function revoke({ world }: Hands): Promise<void> {
  const cp = world.pick(world.liveControlPlanes);
  const machine = world.pick(world.runningMachines.filter(({ cloneOf }) => cloneOf === null));
  const node = machine?.running?.client.identity?.node;
  if (cp === null || machine === null || node === undefined) return;
  if ((await cp.running.identities.revoke(node)) !== null) machine.isRevoked = true;
}

async function renewSecret({ world }: Hands): Promise<void> {
  const cp = world.pick(world.liveControlPlanes);
  const group = world.pick(world.base.groups);
  if (cp === null || group === null) return;
  await cp.running.identities.rotateSecret(group.name);
}
