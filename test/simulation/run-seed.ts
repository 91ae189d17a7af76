/** One seed: a history of writes and faults, then peace, then everything must be as it should. */
import type { Base } from './base.ts';
import { Attacker } from './attacker.ts';
import { rowsOf, type Row } from './database/sql-tables.ts';
import { heal, join, someFaults, strike } from './faults.ts';
import { Violation } from './oracle.ts';
import { playScenario } from './scenarios.ts';
import { World, type Machine } from './world.ts';
import { Writer } from './writer.ts';

export interface Outcome {
  readonly seed: number;
  /** Equal for equal seeds. */
  readonly trace: string;
  readonly events: number;
  readonly statements: number;
  readonly virtualMs: number;
  /** Null when all invariants held. */
  readonly violation: string | null;
  readonly lines: readonly string[];
}

/** Within it everybody must have caught up. */
const HEALED_MS = 120_000;
/** After it everybody who is connected must have what there was: an update without an answer is sent again after a minute. */
const LAST_WRITE_MS = 85_000;

export async function runSeed(base: Base, seed: number, keepsLines = false): Promise<Outcome> {
  const world = new World(base, seed, keepsLines);
  let violation: string | null = null;
  try {
    await live(world);
  } catch (error) {
    violation =
      error instanceof Violation ? error.message : `the simulator failed: ${textOf(error)}`;
  }
  const { scheduler, database } = world;
  return {
    seed,
    trace: scheduler.digest(),
    events: scheduler.eventCount,
    statements: database.statementCount,
    virtualMs: scheduler.nowMs,
    violation,
    lines: scheduler.lines ?? [],
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function live(world: World): Promise<void> {
  const { random, scheduler, network, base } = world;
  const hands = { world, writer: new Writer(world), attacker: await Attacker.create(world) };
  network.latencyMs = random.chance(0.7) ? 20 : 400;
  if (random.chance(0.2)) network.harshness = 0.02;
  for (const name of world.names) world.startControlPlane(name);
  const count = 1 + random.below(random.chance(0.1) ? 20 : 7);
  for (let index = 0; index < count; index += 1) {
    const group = world.pick(base.groups);
    if (group !== null) scheduler.after(random.below(4_000), () => void join(world, group));
  }
  every(world, 1_000, () => world.checkBounds());
  const check = (): void => world.checkAlways();
  await scheduler.advance(5_000, check);
  const allowed = someFaults(world);
  const paceMs = 100 + random.below(2_000);
  const untilMs = scheduler.nowMs + 20_000 + random.below(30_000);
  while (scheduler.nowMs < untilMs) {
    strike(hands, allowed);
    await scheduler.advance(random.below(2 * paceMs), check);
  }
  await playScenario(hands, (ms) => scheduler.advance(ms, check));
  scheduler.trace('healed');
  heal(hands);
  await scheduler.advance(LAST_WRITE_MS, check);
  checkMiddle(world);
  world.findControlPlanes();
  // Whoever has missed something by now hears of this one.
  for (const ws of base.workspaces) void hands.writer.write(ws);
  await scheduler.advance(HEALED_MS - LAST_WRITE_MS, check);
  settleRevocations(world);
  checkEnd(world);
  world.checkAlways();
}

function every(world: World, ms: number, fn: () => void): void {
  const again = (): void => {
    fn();
    world.scheduler.after(ms, again);
  };
  world.scheduler.after(ms, again);
}

/** Long after the last fault: who is connected has what there is, without a hint from a new write. */
function checkMiddle(world: World): void {
  const { oracle, database } = world;
  settleRevocations(world);
  for (const machine of world.machines) {
    const client = machine.running?.client ?? null;
    if (client === null) continue;
    const { tag, lastError, hash } = client.status();
    if (machine.isRevoked) {
      if (tag === 'live') oracle.fail('I7', `${machine.name} was revoked, and is connected`);
      continue;
    }
    // What it refused it is not offered again.
    if (tag !== 'live' || lastError !== null) continue;
    if (hash !== headOf(world, machine)) {
      oracle.fail('I5', `${machine.name} is connected, and not told of the newest`);
    }
    if (client.served === null) continue;
    oracle.checkContent(machine, client.served, database.state, machine.joins.workspaces);
  }
  world.checkAlways();
}

/** A revocation may have been lost with a database's tail: what counts is what it says now. */
function settleRevocations(world: World): void {
  for (const machine of world.machines) {
    const row = nodeRow(world, machine);
    machine.isRevoked = row !== null && (row['revoked_at'] ?? null) !== null;
  }
}

function nodeRow(world: World, machine: Machine): Row | null {
  const node = machine.running?.client.identity?.node ?? machine.formerNode;
  return (
    [...rowsOf(world.database.state, 'nodes').values()].find((row) => row['id'] === node) ?? null
  );
}

function checkEnd(world: World): void {
  const { oracle, database } = world;
  oracle.checkWrites(database.state);
  let connected = 0;
  for (const machine of world.machines) {
    if (machine.running === null) continue;
    const { client } = machine.running;
    const status = client.status();
    if (machine.isRevoked) {
      if (status.tag === 'live') oracle.fail('I7', `${machine.name} was revoked, and is connected`);
      continue;
    }
    // It joined in what the database lost: it serves what it has, and must join again.
    if (oracle.hasLostTail && client.identity !== null && nodeRow(world, machine) === null) {
      // Until then its session goes on.
      if (status.tag === 'live') connected += 1;
      continue;
    }
    connected += 1;
    const head = headOf(world, machine);
    const at = `${machine.name} (${status.tag}, ${status.epoch}.${status.revision}, ${status.lastError})`;
    if (status.tag !== 'live') oracle.fail('I5', `${at} is not connected`);
    if (status.hash !== head) oracle.fail('I5', `${at} does not serve the newest`);
    if (status.staleSinceMs !== null) oracle.fail('I9', `${at} says that it is stale`);
    if (client.served !== null) {
      oracle.checkContent(machine, client.served, database.state, machine.joins.workspaces);
    }
    checkRow(world, machine, status.hash);
    checkSecrets(world, machine);
  }
  const rows = [...rowsOf(database.state, 'nodes').values()];
  const originals = world.machines.filter(({ cloneOf }) => cloneOf === null);
  // Who was copied may have to join again; so may whose disk was full, or whose row was lost.
  const isClean =
    !oracle.hasLostTail &&
    originals.every(({ wasCloned, disk }) => !wasCloned && disk.failures === 0);
  if (isClean && rows.length > originals.length) {
    oracle.fail('D-12', `${originals.length} data planes are ${rows.length} nodes`);
  }
  let sessions = 0;
  let greeting = 0;
  for (const { running } of world.liveControlPlanes) {
    greeting += running.hub.greetingCount;
    sessions += running.hub.sessionCount - running.hub.greetingCount;
  }
  if (sessions !== connected) oracle.fail('I8', `${sessions} sessions of ${connected} data planes`);
  // Who is sent away comes again now and then.
  const refused = world.runningMachines.length - connected;
  if (greeting > refused) oracle.fail('I8', `${greeting} greet, of ${refused} who are refused`);
}

/** What is shown of a node is what it serves: where it is connected, and in the summary of its group there. */
function checkRow(world: World, machine: Machine, hash: string): void {
  const row = nodeRow(world, machine);
  if (row === null) return world.oracle.fail('I9', `${machine.name} is in no row`);
  const self = row['connected_to'];
  const registry = world.liveControlPlanes.find((cp) => cp.running.registry.self === self)?.running
    .registry;
  // Known: after a lost tail, a control plane that a node has left and that does not know it yet may write
  // the row last. It is put right when the node comes or goes again.
  const connected = registry?.live(String(row['id'])) ?? null;
  if (world.oracle.hasLostTail && connected === null) return;
  const shown = connected?.position.hash ?? 'nothing';
  if (shown !== hash) world.oracle.fail('I9', `${machine.name} is shown as serving ${shown}`);
  const summaries = [...rowsOf(world.database.state, 'group_acks').values()];
  const summary = summaries.find(
    (each) => each['control_plane'] === self && each['group_id'] === row['group_id'],
  );
  if (summary === undefined || Number(summary['lagging']) > 0) {
    world.oracle.fail('I9', `${machine.name} is not summed up as serving the newest`);
  }
}

/** It has the secret that what it serves was made with. */
function checkSecrets(world: World, machine: Machine): void {
  const client = machine.running?.client;
  const generation = client?.served?.manifest.secret_generation ?? null;
  const held = client?.identity?.groupSecrets.map((secret) => secret.generation) ?? [];
  if (generation === null || held.includes(generation)) return;
  world.oracle.fail('I6', `${machine.name} lacks the secret of generation ${generation}`);
}

function headOf(world: World, machine: Machine): string {
  const rows = [...rowsOf(world.database.state, 'manifests').values()]
    .filter((row) => row['group_id'] === machine.joins.id)
    .toSorted(
      (a, b) =>
        Number(b['epoch']) - Number(a['epoch']) || Number(b['revision']) - Number(a['revision']),
    );
  return String(rows[0]?.['hash'] ?? '');
}
