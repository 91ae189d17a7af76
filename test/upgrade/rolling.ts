/**
 * Two control planes and two data planes, brought to the next release and back one by one, while writers
 * write and clients ask. What became of it is judged afterwards by the oracle of `test/chaos`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Client as Database } from 'pg';
import { must } from '#shared/base/assert.ts';
import { hex } from '#shared/base/bytes.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { Fleet, type Member } from '../chaos/fleet.ts';
import type { HistoryEvent } from '../chaos/history.ts';
import { registersOf } from '../chaos/held-config.ts';
import { Client, Writers } from '../chaos/traffic.ts';
import { AdminClient, type Json } from '../support/admin-client.ts';
import { startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import type { Postgres } from '../support/postgres.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { heldUnproven } from './held-unproven.ts';
import { NEW_FIELD, NEXT_LEVEL, NEXT_RELEASE } from './next-release.ts';

/** Of the fleet: `a` and `b` are control planes, `1` and `2` data planes. */
export const NAMES = ['a', 'b', '1', '2'] as const;
export type Name = (typeof NAMES)[number];
export type Order = readonly Name[];

const STEADY = '/steady';
const CONVERGE_MS_MAX = 20_000;
const VIEW_INTERVAL_MS = 100;
const POLL_S = 1;

interface Echo {
  readonly address: string;
  close(): Promise<void>;
}

export class Rolling {
  readonly history: HistoryEvent[] = [];
  readonly #fleet: Fleet;
  readonly #echo: Echo;
  readonly #database: Database;
  readonly #members: Readonly<Record<Name, Member>>;
  readonly #clients = new Map<Member, Client>();
  readonly #next = new Set<Member>();
  #writers: Writers | null = null;
  #workspace = '';
  /** Of the new field, by the last write of it; null: nobody has written it. */
  #written: string | null = null;
  #steps = 0;
  requests = 0;
  /** Where the time went. */
  readonly seconds: Record<string, number> = {};
  /** What programs that were stopped had logged as errors. */
  readonly errors: string[] = [];

  private constructor(fleet: Fleet, echo: Echo, database: Database) {
    this.#fleet = fleet;
    this.#echo = echo;
    this.#database = database;
    const member = (list: readonly Member[], index: number): Member =>
      must(list[index], 'a member of the fleet');
    this.#members = {
      a: member(fleet.controlPlanes, 0),
      b: member(fleet.controlPlanes, 1),
      1: member(fleet.dataPlanes, 0),
      2: member(fleet.dataPlanes, 1),
    };
  }

  static async start(postgres: Postgres, seed: number): Promise<Rolling> {
    const databaseUrl = await postgres.createDatabase();
    const env = { HEADGATE_POLL_SECONDS: String(POLL_S) };
    const fleet = await Fleet.start({ databaseUrl, controlPlanes: 2, env });
    const echo = await startEcho('steady');
    const url = `http://${echo.address}`;
    const service = await fleet.admin().post('/services', { name: 'steady', url });
    await fleet.admin().post('/services/steady/routes', { name: 'steady', paths: [STEADY] });
    const workspace = await fleet.admin().ok('GET', '/workspaces/default');
    for (let i = 0; i < 2; i++) await fleet.addDataPlane();
    const database = new Database({ connectionString: databaseUrl });
    await database.connect();
    const run = new Rolling(fleet, echo, database);
    run.#workspace = String(workspace['id']);
    await Promise.all(fleet.dataPlanes.map((member) => run.#serves(member)));
    run.#writers = new Writers({
      fleet,
      random: new SeededRandom(seed),
      service: String(service['id']),
      record: (event) => void run.history.push(event),
    });
    run.#writers.start();
    return run;
  }

  /** One after the other to the next release, or back to this one; the fleet comes together each time. */
  async bring(order: Order, to: 'next' | 'this'): Promise<void> {
    for (const name of order) await this.step(name, to);
    if (to === 'next') await this.#holdsNewField();
    else await this.#holdLevel(NEXT_LEVEL - 1);
  }

  /** One of them; the rest stays what it is. */
  async step(name: Name, to: 'next' | 'this'): Promise<void> {
    const member = this.#members[name];
    if (to === 'next') this.#next.add(member);
    else this.#next.delete(member);
    await this.#timed('stop', this.#stop(member));
    await this.#timed('start', this.#start(member));
    await this.#timed('converge', this.#converge());
    await this.#timed('write', this.#useNewField());
    await this.#timed('show', this.#areShown());
  }

  async #timed(what: string, work: Promise<void>): Promise<void> {
    const startedMs = performance.now();
    await work;
    this.seconds[what] = (this.seconds[what] ?? 0) + (performance.now() - startedMs) / 1_000;
  }

  /** No more writes. @returns revisions that were published while nothing was changed, for a while */
  async rest(): Promise<number> {
    await this.#writers?.stop();
    await this.#converge();
    const nodes = this.#fleet.dataPlanes.map(({ name }) => name);
    this.history.push({ type: 'quiet', nodes, version: this.#writers?.version ?? 0 });
    // Not for anything to happen: for nothing to happen, after what was written last was published.
    await pause(POLL_S * 1_500);
    const before = await this.#count('SELECT max(revision) AS n FROM groups');
    await pause(POLL_S * 2_500);
    return (await this.#count('SELECT max(revision) AS n FROM groups')) - before;
  }

  epochs(): Promise<number> {
    return this.#count('SELECT count(*) AS n FROM epochs');
  }

  async close(): Promise<void> {
    await this.#writers?.stop().catch(() => {});
    await Promise.all([...this.#clients.values()].map((client) => client.stop()));
    for (const member of Object.values(this.#members)) this.#collect(member);
    await this.#database.end();
    await this.#fleet.close();
    await this.#echo.close();
  }

  async #count(sql: string): Promise<number> {
    const { rows } = await this.#database.query<{ n: string }>(sql);
    return Number(rows[0]?.n ?? 0);
  }

  async #stop(member: Member): Promise<void> {
    const client = this.#clients.get(member);
    this.#clients.delete(member);
    await client?.stop();
    this.requests += client?.done ?? 0;
    this.#collect(member);
    await member.kill('SIGTERM');
  }

  #collect(member: Member): void {
    if (!member.isRunning) return;
    const lines = member.program.output.split('\n').concat(member.program.errors.split('\n'));
    for (const line of lines) {
      if (line.includes('"level":"error"')) this.errors.push(`${member.name}: ${line}`);
    }
  }

  async #start(member: Member): Promise<void> {
    await member.start(this.#next.has(member) ? NEXT_RELEASE : {});
    if (member.role === 'dp') await this.#serves(member);
  }

  /** From now on, it may not fail a request. */
  async #serves(member: Member): Promise<void> {
    await eventually(
      `${member.name} to serve`,
      async () => (await send(member.url('proxy'), STEADY)).status === 200,
    );
    const client = new Client(member, STEADY, (event) => void this.history.push(event));
    this.#clients.set(member, client);
    client.start();
  }

  async #converge(): Promise<void> {
    const version = this.#writers?.version ?? 0;
    const members = this.#fleet.dataPlanes;
    const atMs = performance.now();
    const nodes = members.map(({ name }) => name);
    this.history.push({ type: 'faults_over', nodes, version, atMs });
    const waiting = new Set(members);
    while (waiting.size > 0 && performance.now() - atMs < CONVERGE_MS_MAX) {
      for (const member of waiting)
        if ((await this.#look(member)) >= version) waiting.delete(member);
      if (waiting.size > 0) await pause(VIEW_INTERVAL_MS);
    }
    if (waiting.size === 0) return;
    const names = [...waiting].map(({ name }) => name).join(', ');
    throw new Error(`${names} did not come to version ${version}`);
  }

  async #look(member: Member): Promise<number> {
    const held = await heldUnproven(member);
    if (held === null) return 0;
    const { manifest, tree } = held;
    const registers = registersOf(tree);
    const version = manifest.workspaces[this.#workspace] ?? 0;
    // Levels of one revision differ in their bytes, and not in what is compared here.
    const sorted = Object.entries(registers).toSorted(([one], [other]) => (one < other ? -1 : 1));
    const hash = hex(nodeCrypto.sha256(JSON.stringify([version, sorted])));
    const { epoch, revision } = manifest;
    const atMs = performance.now();
    const node = member.name;
    this.history.push({ type: 'view', node, epoch, revision, hash, version, registers, atMs });
    return version;
  }

  #admins(isNext: boolean): AdminClient[] {
    return this.#fleet.controlPlanes
      .filter((member) => this.#next.has(member) === isNext)
      .map((member) => new AdminClient(member.url('admin')));
  }

  /** Writes by the newer release live on under changes by the older one, which does not know of them. */
  async #useNewField(): Promise<void> {
    const [next] = this.#admins(true);
    const [older] = this.#admins(false);
    this.#steps += 1;
    if (next !== undefined) {
      const before = await next.ok('GET', '/services/steady');
      if ((before[NEW_FIELD] ?? null) !== this.#written) {
        throw new Error(`${NEW_FIELD} is ${String(before[NEW_FIELD])}, not ${this.#written}`);
      }
      this.#written = `by step ${this.#steps}`;
      await next.ok('PATCH', '/services/steady', { [NEW_FIELD]: this.#written });
    }
    const retries = this.#steps % 10;
    await older?.ok('PATCH', '/services/steady', { retries });
    if (next === undefined || older === undefined) return;
    const [said, after] = [
      await older.ok('GET', '/services/steady'),
      await next.ok('GET', '/services/steady'),
    ];
    const isKept = after[NEW_FIELD] === this.#written && after['retries'] === retries;
    if (!isKept || NEW_FIELD in said) throw new Error(`a write is lost: ${JSON.stringify(after)}`);
  }

  /** Nobody is shown as lagging, refusing or incompatible for long. */
  async #areShown(): Promise<void> {
    for (const admin of [...this.#admins(true), ...this.#admins(false)]) {
      await eventually('all data planes to be shown as in sync', async () => {
        const { data } = await admin.ok('GET', '/clustering/data-planes');
        const nodes = data as Json[]; // of the Admin API
        const isFine = (node: Json): boolean =>
          node['sync_status'] === 'normal' &&
          node['connected'] === true &&
          node['last_error'] === null;
        if (nodes.length === 2 && nodes.every(isFine)) return true;
        throw new Error(JSON.stringify(nodes));
      });
    }
  }

  async #holdLevel(level: number): Promise<void> {
    for (const member of this.#fleet.dataPlanes) {
      await eventually(`${member.name} to hold level ${level}`, async () => {
        const held = await heldUnproven(member);
        return held?.manifest.level === level;
      });
    }
  }

  async #holdsNewField(): Promise<void> {
    await this.#holdLevel(NEXT_LEVEL);
    for (const member of this.#fleet.dataPlanes) {
      await eventually(`${member.name} to hold what only the next release knows`, async () => {
        const held = await heldUnproven(member);
        const records = [...(held?.tree.records() ?? [])];
        return records.some(({ body }) => body[NEW_FIELD] === this.#written);
      });
    }
  }
}
