/** One simulated world: control planes, data planes, a database, a network, and what is known of them. */
import type { ReplicaState } from '#shared/config/replica.ts';
import type { StoredConfig } from '#shared/platform/platform.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import type { Base, SimGroup } from './base.ts';
import { addressOf, SimControlPlane } from './control-plane.ts';
import { SimDataPlane } from './data-plane.ts';
import { ModelDatabase } from './database/model-database.ts';
import { EPOCH_MS, sources } from './determinism.ts';
import type { Disk } from './disk.ts';
import { Network, type Link } from './network.ts';
import { newest, Oracle, type SimNode } from './oracle.ts';
import { Scheduler } from './scheduler.ts';

const POLL_MS = 5_000;
/** Connections that a data plane may try in a minute, whatever happens to it. */
const DIALS_PER_MINUTE_MAX = 80;
const DATA_PLANE_TIMERS_MAX = 12;
const SESSION_TIMERS_MAX = 40;

/** A data plane, through all its lives. */
export interface Machine extends SimNode {
  readonly joins: SimGroup;
  readonly disk: Disk;
  readonly dialsMs: number[];
  /** Runs on the identity of another. */
  readonly cloneOf: Machine | null;
  /** Its identity was copied at some time, so that its join counter may be retired. */
  wasCloned: boolean;
  running: SimDataPlane | null;
  /** What it was in its last life: a full disk may have kept no more than the keys. */
  formerNode: string | null;
  isRevoked: boolean;
  skewMs: number;
}

export class World {
  readonly seed: number;
  readonly base: Base;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly network: Network;
  readonly database: ModelDatabase;
  readonly oracle = new Oracle();
  readonly controlPlanes = new Map<string, SimControlPlane>();
  readonly machines: Machine[] = [];
  readonly addresses: readonly string[];
  failovers = 0;
  /** Chance that a build fails. */
  clumsiness = 0;
  /** Somebody who takes messages off the wire: true when this one was taken. */
  intercept: (link: Link, text: string) => boolean = () => false;
  /** Frames that were on the wire, for whoever wants to play them again. */
  readonly recorded: { readonly group: string; readonly text: string }[] = [];
  /** Control planes that do not come back by themselves. */
  readonly #lost = new Set<string>();
  readonly #names: readonly string[];
  #machineCount = 0;

  constructor(base: Base, seed: number, keepsLines: boolean) {
    this.seed = seed;
    this.base = base;
    this.scheduler = new Scheduler(keepsLines);
    this.random = new SeededRandom(seed * 2_654_435_761 + 17);
    sources.random = this.fork();
    sources.nowMs = () => EPOCH_MS + this.scheduler.nowMs;
    sources.delay = (ms) => this.scheduler.delay(ms);
    this.network = new Network(this.scheduler, this.fork());
    const { state, nextRow } = base;
    this.database = new ModelDatabase({
      scheduler: this.scheduler,
      random: this.fork(),
      state,
      nextRow,
    });
    this.database.onCommit = (next, writes) => this.oracle.committed(next, writes);
    this.#names = Array.from({ length: 1 + this.random.below(3) }, (_, i) => `cp-${i + 1}`);
    this.addresses = this.#names.map(addressOf);
    this.network.onDown = (link, text) => {
      this.#record(link.client.name, text);
      return this.intercept(link, text);
    };
  }

  fork(): SeededRandom {
    return new SeededRandom(this.random.below(2 ** 32));
  }

  get names(): readonly string[] {
    return this.#names;
  }

  pick<T>(items: readonly T[]): T | null {
    return items[this.random.below(items.length)] ?? null;
  }

  readonly log = (source: string, level: string, message: string, text: string): void => {
    this.scheduler.lines?.push(
      `${this.scheduler.nowMs.toFixed(3)} ${source} ${level}: ${message} ${text}\n`,
    );
    if (!message.startsWith('a copy of a data plane')) return;
    const fields: { node?: string } = JSON.parse(text);
    const machine = this.machines.find(
      ({ running }) => running?.client.identity?.node === fields.node,
    );
    if (machine?.wasCloned === true || this.oracle.hasLostTail) return;
    this.oracle.fail(
      'D-12',
      `the join counter of ${machine?.name ?? fields.node} looks like a clone's`,
    );
  };

  // Control planes.

  startControlPlane(name: string): void {
    const old = this.controlPlanes.get(name);
    if (this.#lost.has(name) || (old !== undefined && !old.process.isDead)) return;
    const cp = new SimControlPlane({
      name,
      network: this.network,
      database: this.database,
      random: this.fork(),
      skewMs: this.random.chance(0.3) ? (this.random.next() - 0.5) * 120_000 : 0,
      pollMs: POLL_MS,
      log: this.log,
    });
    this.controlPlanes.set(name, cp);
    void cp.start().catch((error: unknown) => {
      if (cp.process.isDead) return;
      this.scheduler.trace(`${name} cannot start: ${String(error)}`);
      // As whoever supervises it would.
      cp.process.kill();
      this.scheduler.after(1_000, () => this.startControlPlane(name));
    });
  }

  killControlPlane(name: string, downMs: number): void {
    this.controlPlanes.get(name)?.process.kill();
    this.scheduler.after(downMs, () => this.startControlPlane(name));
  }

  /** Killed, and not started again before `findControlPlanes`. */
  loseControlPlane(name: string): void {
    this.#lost.add(name);
    this.controlPlanes.get(name)?.process.kill();
  }

  findControlPlanes(): void {
    const lost = [...this.#lost];
    this.#lost.clear();
    for (const name of lost) this.startControlPlane(name);
  }

  stopControlPlane(name: string, downMs: number): void {
    const cp = this.controlPlanes.get(name);
    if (cp === undefined || cp.process.isDead) return;
    void cp.stop().catch(() => cp.process.kill());
    // What does not stop in time is stopped.
    this.scheduler.after(10_000, () => cp.process.kill());
    this.scheduler.after(10_000 + downMs, () => this.startControlPlane(name));
  }

  get liveControlPlanes(): SimControlPlane[] {
    return [...this.controlPlanes.values()].filter(
      ({ process, parts, isDraining }) => !process.isDead && parts !== null && !isDraining,
    );
  }

  // Data planes.

  addMachine(joins: SimGroup, disk: Disk, cloneOf: Machine | null = null): Machine {
    this.#machineCount += 1;
    const machine: Machine = {
      name: `dp-${this.#machineCount}`,
      joins,
      group: joins.id,
      disk,
      dialsMs: [],
      cloneOf,
      wasCloned: cloneOf !== null,
      serving: null,
      floor: cloneOf?.floor ?? null,
      running: null,
      formerNode: null,
      isRevoked: cloneOf?.isRevoked ?? false,
      skewMs: this.random.chance(0.2) ? (this.random.next() - 0.5) * 1e10 : 0,
    };
    this.machines.push(machine);
    return machine;
  }

  startMachine(machine: Machine): void {
    if (machine.running !== null) return;
    machine.serving = null;
    const dp = new SimDataPlane({
      name: machine.name,
      network: this.network,
      random: this.fork(),
      disk: machine.disk,
      skewMs: machine.skewMs,
      joinToken: machine.joins.joinToken,
      controlPlanes: this.addresses,
      clumsiness: () => this.clumsiness,
      log: this.log,
      served: (state: ReplicaState) => this.oracle.served(machine, state),
      acked: (position) => this.oracle.acked(machine, position),
      dialled: () => this.#dialled(machine),
    });
    machine.running = dp;
    machine.disk.onConfig = (config) => this.oracle.stored(machine, numberOf(config), dp.persisted);
    void dp.start();
  }

  killMachine(machine: Machine): void {
    const dp = machine.running;
    if (dp === null) return;
    machine.floor = newest(machine.floor, dp.persisted);
    machine.formerNode = dp.client.identity?.node ?? machine.formerNode;
    machine.running = null;
    dp.kill();
  }

  get runningMachines(): Machine[] {
    return this.machines.filter(({ running }) => running !== null);
  }

  #dialled(machine: Machine): void {
    const { nowMs } = this.scheduler;
    const { dialsMs } = machine;
    dialsMs.push(nowMs);
    while ((dialsMs[0] ?? nowMs) < nowMs - 60_000) dialsMs.shift();
    if (dialsMs.length > DIALS_PER_MINUTE_MAX) {
      this.oracle.fail('I8', `${machine.name} dials ${dialsMs.length} times in a minute`);
    }
  }

  #record(client: string, text: string): void {
    if (!isConfiguration(text)) return;
    const machine = this.machines.find(({ name }) => name === client);
    if (machine === undefined) return;
    this.recorded.push({ group: machine.joins.id, text });
    if (this.recorded.length > 200) this.recorded.splice(this.random.below(100), 1);
  }

  // What can be looked at while it runs.

  /** After every event. */
  checkAlways(): void {
    for (const cp of this.controlPlanes.values()) {
      const nodes = new Set<string>();
      for (const session of cp.sessions) {
        const node = session.member?.node;
        if (session.isClosed || node === undefined) continue;
        if (nodes.has(node))
          this.oracle.fail('I10', `${cp.process.name} has two sessions of ${node}`);
        nodes.add(node);
      }
    }
    if (this.database.ignorance !== null) throw this.database.ignorance;
    if (this.oracle.violation !== null) throw this.oracle.violation;
  }

  /** Now and then: bounds of what is kept. */
  checkBounds(): void {
    for (const { name, running } of this.machines) {
      const count = running?.process.timerCount ?? 0;
      if (count > DATA_PLANE_TIMERS_MAX) this.oracle.fail('I8', `${name} has ${count} timers`);
    }
    for (const cp of this.controlPlanes.values()) {
      const { timerCount, name, isDead } = cp.process;
      const sessions = cp.parts?.hub.sessionCount ?? 0;
      if (!isDead && timerCount > SESSION_TIMERS_MAX * (1 + sessions)) {
        this.oracle.fail('I8', `${name} has ${timerCount} timers with ${sessions} sessions`);
      }
    }
    for (const link of this.network.links) {
      if (link.downBytes > 4 * 1024 * 1024) {
        this.oracle.fail('I8', `${link.client.name} is owed ${link.downBytes} bytes`);
      }
    }
  }
}

function numberOf({ manifest }: StoredConfig): { epoch: number; revision: number } {
  return JSON.parse(manifest);
}

export function isConfiguration(text: string): boolean {
  return /^\{"type":"(?:manifest|delta|shards)"/.test(text);
}
