/**
 * Rounds of kill -9: two control planes, two data planes and a PostgreSQL server, of which any die at
 * any time and come back, while writers write and clients ask. What it was is judged afterwards.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import type { Postgres } from '../support/postgres.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { Fleet, postgresVictim, type Member, type Victim } from './fleet.ts';
import { viewOf } from './held-config.ts';
import { check, summary, type HistoryEvent, type Violation } from './history.ts';
import { Client, Writers } from './traffic.ts';

export interface RoundsOptions {
  readonly postgres: Postgres;
  readonly rounds: number;
  readonly seed: number;
}

export interface RoundsResult {
  readonly violations: readonly Violation[];
  readonly counts: Readonly<Record<string, number>>;
  /** Answered as they should be, by the data planes. */
  readonly requests: number;
  readonly kills: Readonly<Record<string, number>>;
  /** From the last fault of a round to every data plane being there, ascending. */
  readonly convergenceMs: readonly number[];
  readonly seconds: number;
  /** The history as JSON lines; written when it is a bad one. */
  readonly file: string | null;
}

/** Decision 10 and the figures: how long a fleet may take to come back together. */
export const CONVERGENCE_MS_MAX = 10_000;
/** A round that takes longer than this has failed, and says so itself. */
const ROUND_MS_MAX = 40_000;
const VIEW_INTERVAL_MS = 150;
const DELAY_MS_MAX = 600;
const STEADY = '/steady';

export async function runKillRounds(options: RoundsOptions): Promise<RoundsResult> {
  const { postgres, rounds, seed } = options;
  const startedMs = performance.now();
  const echo = await startEcho('steady');
  const databaseUrl = await postgres.createDatabase();
  const fleet = await Fleet.start({ databaseUrl, controlPlanes: 2 });
  const run = new Run(fleet, postgres, seed);
  try {
    await run.prepare(`http://${echo.address}`);
    for (let round = 0; round < rounds; round++) await run.round();
    await run.end();
  } finally {
    await run.stop();
    await fleet.close();
    await echo.close();
  }
  const violations = check(run.history, { convergenceMs: CONVERGENCE_MS_MAX });
  return {
    violations,
    counts: summary(run.history),
    requests: run.requests,
    kills: run.kills,
    convergenceMs: run.convergenceMs.toSorted((a, b) => a - b),
    seconds: (performance.now() - startedMs) / 1_000,
    file: violations.length === 0 ? null : await saveHistory(run.history, seed),
  };
}

async function saveHistory(history: readonly HistoryEvent[], seed: number): Promise<string> {
  const folder = join(tmpdir(), 'headgate-histories');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `kill-rounds-${seed}.jsonl`);
  await writeFile(file, history.map((event) => `${JSON.stringify(event)}\n`).join(''));
  return file;
}

class Run {
  readonly history: HistoryEvent[] = [];
  readonly kills: Record<string, number> = {};
  readonly convergenceMs: number[] = [];
  readonly #fleet: Fleet;
  readonly #postgres: Postgres;
  readonly #random: SeededRandom;
  readonly #clients: Client[] = [];
  #writers: Writers | null = null;
  #workspace = '';

  constructor(fleet: Fleet, postgres: Postgres, seed: number) {
    this.#fleet = fleet;
    this.#postgres = postgres;
    this.#random = new SeededRandom(seed);
  }

  get requests(): number {
    return this.#clients.reduce((sum, client) => sum + client.done, 0);
  }

  async prepare(url: string): Promise<void> {
    const admin = this.#fleet.admin();
    const service = await admin.post('/services', { name: 'steady', url });
    await admin.post('/services/steady/routes', { name: 'steady', paths: [STEADY] });
    this.#workspace = String((await admin.ok('GET', '/workspaces/default'))['id']);
    const record = (event: HistoryEvent): void => void this.history.push(event);
    for (let i = 0; i < 2; i++) {
      const member = await this.#fleet.addDataPlane();
      await eventually(
        `${member.name} to serve`,
        async () => (await send(member.url('proxy'), STEADY)).status === 200,
      );
      const client = new Client(member, STEADY, record);
      this.#clients.push(client);
      client.start();
    }
    this.#writers = new Writers({
      fleet: this.#fleet,
      random: new SeededRandom(this.#random.below(2 ** 31)),
      service: String(service['id']),
      record,
    });
    this.#writers.start();
  }

  /** One or two die, at about the same time or not, and come back; then all must come together. */
  async round(): Promise<void> {
    const victims = this.#pick();
    for (const victim of victims) {
      await pause(this.#random.below(DELAY_MS_MAX));
      await this.#kill(victim);
    }
    await pause(this.#random.below(DELAY_MS_MAX));
    for (const victim of victims) await this.#revive(victim);
    await this.#converge();
  }

  /** No more writes: every data plane must end with the same. */
  async end(): Promise<void> {
    await this.#writers?.stop();
    await this.#converge();
    const names = this.#fleet.dataPlanes.map(({ name }) => name);
    const version = this.#writers?.version ?? 0;
    this.history.push({ type: 'quiet', nodes: names, version });
  }

  async stop(): Promise<void> {
    await this.#writers?.stop();
    await Promise.all(this.#clients.map((client) => client.stop()));
  }

  /** The database first, for it has to be there when a control plane starts. */
  #pick(): Victim[] {
    const dataPlane = this.#fleet.dataPlanes[this.#random.below(2)];
    const all: Victim[] = [
      postgresVictim(this.#postgres),
      ...this.#fleet.controlPlanes,
      ...(dataPlane === undefined ? [] : [dataPlane]),
    ];
    const first = this.#random.below(all.length);
    const second = this.#random.chance(0.4) ? this.#random.below(all.length) : first;
    return all.filter((_, index) => index === first || index === second);
  }

  async #kill(victim: Victim): Promise<void> {
    this.kills[victim.name] = (this.kills[victim.name] ?? 0) + 1;
    this.history.push({ type: 'down', node: victim.name, atMs: performance.now() });
    await victim.kill();
    const member = this.#fleet.dataPlanes.find((one) => one.name === victim.name);
    // Whatever it was doing: what is on its disk is whole.
    if (member !== undefined) await this.#look(member);
  }

  async #revive(victim: Victim): Promise<void> {
    await victim.start();
    this.history.push({ type: 'up', node: victim.name, atMs: performance.now() });
  }

  async #look(member: Member): Promise<number> {
    const view = await viewOf(member, this.#workspace);
    if (view === null) return 0;
    this.history.push(view);
    return view.version;
  }

  async #converge(): Promise<void> {
    const version = this.#writers?.version ?? 0;
    const members = this.#fleet.dataPlanes;
    const atMs = performance.now();
    this.history.push({
      type: 'faults_over',
      nodes: members.map(({ name }) => name),
      version,
      atMs,
    });
    const waiting = new Set(members);
    while (waiting.size > 0 && performance.now() - atMs < ROUND_MS_MAX) {
      for (const member of waiting) {
        if ((await this.#look(member)) >= version) waiting.delete(member);
      }
      if (waiting.size > 0) await pause(VIEW_INTERVAL_MS);
    }
    this.convergenceMs.push(performance.now() - atMs);
  }
}
