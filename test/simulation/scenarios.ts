/**
 * How a history comes to its end: one of these, in turn by the seed, so that what takes several steps in
 * order does not depend on luck. Each begins with everything in order; what it leaves broken is healed.
 */
import { must } from '#shared/base/assert.ts';
import { failOver, heal, join, revoke, type Hands } from './faults.ts';
import type { Machine, World } from './world.ts';

/** Lets time go by, and looks at everything meanwhile. */
type Go = (ms: number) => Promise<void>;
type Scenario = (hands: Hands, go: Go) => Promise<void>;

/** For those who were away to come back. */
const CALM_MS = 6_000;

const SCENARIOS: readonly (readonly [name: string, play: Scenario | null])[] = [
  ['none', null],
  ['a write that nobody hears of', unheardWrite],
  ['writers at the same time', racingWriters],
  ['killed while joining', killedWhileJoining],
  ['an older configuration put back', olderPutBack],
  ['slow disks', slowDisks],
  ['revoked unheard', revokedUnheard],
  ['somebody between all', somebodyBetween],
  ['a tail lost', tailLost],
];

export async function playScenario(hands: Hands, go: Go): Promise<void> {
  const { world } = hands;
  const [name, play] = must(SCENARIOS[world.seed % SCENARIOS.length], 'a scenario');
  if (play === null) return;
  heal(hands);
  await go(CALM_MS);
  world.scheduler.trace(`scenario: ${name}`);
  await play(hands, go);
}

/** The last change of all; whoever made it may be gone, and not come back for long. */
async function unheardWrite({ world, writer }: Hands, go: Go): Promise<void> {
  world.database.isDeaf = true;
  let isFatal = world.names.length > 1 && world.random.chance(0.5);
  void writer.write(null, (name) => {
    if (isFatal) world.loseControlPlane(name);
  });
  await go(500);
  isFatal = false;
}

/** Transactions that share nothing but the workspace: they commit in any order. */
async function racingWriters({ world, writer }: Hands, go: Go): Promise<void> {
  world.database.commitSlownessMs = 200;
  for (let index = 0; index < 30; index += 1) {
    void writer.add();
    await go(world.random.below(150));
  }
  await go(3_000);
}

async function killedWhileJoining({ world }: Hands, go: Go): Promise<void> {
  const tripMs = world.network.latencyMs;
  const group = must(world.pick(world.base.groups), 'a group');
  const joining = Array.from({ length: 4 }, () => join(world, group));
  for (let round = 0; round < 3; round += 1) {
    for (const machine of joining) {
      await go(world.random.below(4 * tripMs));
      world.killMachine(machine);
      world.startMachine(machine);
    }
  }
}

/** As from a backup; with or without anyone who could tell better. */
async function olderPutBack({ world, writer }: Hands, go: Go): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    for (const ws of world.base.workspaces) void writer.write(ws);
    await go(1_500);
  }
  for (const machine of world.runningMachines) {
    const [older] = machine.disk.older;
    if (older === undefined) continue;
    world.killMachine(machine);
    machine.disk.config = older;
    if (world.random.chance(0.7)) isolate(world, machine);
    world.startMachine(machine);
  }
  await go(3_000);
}

/** So that one write takes longer than the wait for the next; then they start from what lies there. */
async function slowDisks({ world, writer }: Hands, go: Go): Promise<void> {
  for (const { disk } of world.machines) disk.slownessMs = 12_000;
  for (let round = 0; round < 6; round += 1) {
    for (const ws of world.base.workspaces) void writer.write(ws);
    await go(1_000 + world.random.below(4_000));
  }
  for (const machine of world.runningMachines) {
    if (world.random.chance(0.5)) continue;
    world.killMachine(machine);
    isolate(world, machine);
    world.startMachine(machine);
  }
  await go(2_000);
}

/** Elsewhere, and no word of it gets through; or here, and nothing but this process is left to act on it. */
async function revokedUnheard(hands: Hands, go: Go): Promise<void> {
  const { world } = hands;
  const { database, random, oracle } = world;
  if (random.chance(0.5)) {
    database.isDeaf = true;
    void revoke(hands).catch(() => {});
    return go(2_000);
  }
  const cp = world.pick(world.liveControlPlanes);
  const nodes = [...(cp?.sessions ?? [])].flatMap(({ member }) => member?.node ?? []);
  const node = world.pick(nodes);
  if (cp === null || node === null) return undefined;
  let isDone = false;
  void cp.running.identities.revoke(node).then(
    () => {
      isDone = true;
      database.cutOff(cp.process);
    },
    () => {},
  );
  await go(2_500);
  const isKept = [...cp.sessions].some(
    ({ isClosed, member }) => !isClosed && member?.node === node,
  );
  if (isDone && isKept)
    oracle.fail('I7', `${cp.process.name} revoked ${node}, and keeps its session`);
}

/** Who knows all that one group is told gives it to the others; then everything is bent and held back. */
async function somebodyBetween({ world, writer, attacker }: Hands, go: Go): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    for (const ws of world.base.workspaces) void writer.write(ws);
    await go(500);
  }
  // Its group has both workspaces, so the most revisions, and it is told everything from the beginning.
  join(world, must(world.base.groups[0], 'the first group'));
  await go(1_000);
  attacker.transplant();
  await go(1_000);
  attacker.stop();
  attacker.toggle();
  for (let round = 0; round < 12; round += 1) {
    void writer.write();
    await attacker.strike();
    await go(500 + world.random.below(1_000));
  }
}

async function tailLost({ world, writer }: Hands, go: Go): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    for (const ws of world.base.workspaces) void writer.write(ws);
    await go(700);
  }
  failOver(world, 500 + world.random.below(3_000));
  await go(3_000);
  for (const ws of world.base.workspaces) void writer.write(ws);
  await go(2_000);
}

/** Nothing gets through to it or from it. */
function isolate({ controlPlanes, network }: World, { name }: Machine): void {
  for (const { url } of controlPlanes.values()) {
    network.block(name, url, 'up');
    network.block(name, url, 'down');
  }
}
