/** What goes on while things break: writers that want to know what became of each write, and clients. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Received, send } from '../support/http-client.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Fleet, Member } from './fleet.ts';
import { REGISTER_TAG, VALUE_TAG } from './held-config.ts';
import type { HistoryEvent } from './history.ts';

/** Ten lanes, each a write every 400 ms, of which a tenth is refused: more than 20 a second. */
const LANES = 10;
const LANE_INTERVAL_MS = 400;
/** A lane's registers; beyond it, it takes the oldest away. */
const REGISTERS_MAX = 30;
/** Longest that one asks what became of a write. */
const UNKNOWN_AFTER_MS = 40_000;
const RETRY_MS = 100;
const NAMED_REGISTERS = 5;

interface Planned {
  readonly effects: Readonly<Record<string, string | null>>;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** It is wrong, and has to be refused. */
  readonly isBad?: boolean;
}

type WriteEvent = Extract<HistoryEvent, { type: 'write' }>;

/** Writes to any control plane that answers, each with a key of its own, until it is told the outcome. */
export class Writers {
  /** Newest version that was acknowledged. */
  version = 0;
  readonly #fleet: Fleet;
  readonly #random: SeededRandom;
  readonly #record: (event: WriteEvent) => void;
  readonly #service: string;
  readonly #stopping = new AbortController();
  #lanes: Promise<void>[] = [];

  constructor(options: {
    readonly fleet: Fleet;
    readonly random: SeededRandom;
    /** Id of the service that routes are made under. */
    readonly service: string;
    readonly record: (event: WriteEvent) => void;
  }) {
    this.#fleet = options.fleet;
    this.#random = options.random;
    this.#service = options.service;
    this.#record = options.record;
  }

  start(): void {
    this.#lanes = Array.from({ length: LANES }, (_, lane) => this.#lane(lane));
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#lanes);
  }

  async #lane(lane: number): Promise<void> {
    /** Register → id of the nameless route that stands for it. */
    const made = new Map<string, string>();
    for (let n = 0; !this.#stopping.signal.aborted; n++) {
      const dueMs = performance.now() + LANE_INTERVAL_MS;
      const planned = this.#plan(lane, n, made);
      const answer = await this.#write(`lane-${lane}-${n}`, planned);
      if (answer !== null && answer.status < 300) remember(planned, answer, made);
      await pause(Math.max(0, dueMs - performance.now()));
    }
  }

  #plan(lane: number, n: number, made: Map<string, string>): Planned {
    const value = `${lane}-${n}`;
    const [oldest] = made;
    if (made.size > REGISTERS_MAX && oldest !== undefined) {
      const [register, id] = oldest;
      made.delete(register);
      return { effects: { [register]: null }, method: 'DELETE', path: `/routes/${id}` };
    }
    const kind = this.#random.below(10);
    if (kind < 4) {
      const name = `named-${lane}-${this.#random.below(NAMED_REGISTERS)}`;
      const body = this.#route(name, value);
      return { effects: { [name]: value }, method: 'PUT', path: `/routes/${name}`, body };
    }
    const names = [`once-${value}`, `with-${value}`] as const;
    if (kind < 5) {
      const body = { ...this.#route(names[0], value), paths: ['no slash'] };
      const effects = { [names[0]]: value };
      return { effects, method: 'POST', path: '/routes', body, isBad: true };
    }
    if (kind < 8) {
      const body = this.#route(names[0], value);
      return { effects: { [names[0]]: value }, method: 'POST', path: '/routes', body };
    }
    const operations = names.map((name) => ({
      op: 'create',
      kind: 'routes',
      body: this.#route(name, value),
    }));
    const effects = Object.fromEntries(names.map((name) => [name, value]));
    return { effects, method: 'POST', path: '/headgate/bulk', body: { operations } };
  }

  #route(register: string, value: string) {
    return {
      paths: [`/${register}`],
      tags: [`${REGISTER_TAG}${register}`, `${VALUE_TAG}${value}`],
      service: { id: this.#service },
    };
  }

  /** @returns the answer that settles it; null when there was none */
  async #write(key: string, { effects, method, path, body, isBad }: Planned) {
    const fromMs = performance.now();
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
      'idempotency-key': key,
    };
    let outcome: WriteEvent['outcome'] = 'unknown';
    let version: number | null = null;
    let settled: Received | null = null;
    while (performance.now() - fromMs < UNKNOWN_AFTER_MS) {
      const answer = await this.#ask(method, path, { headers, body: text });
      if (answer !== null && answer.status < 500) {
        settled = answer;
        outcome = answer.status < 300 ? 'acked' : 'refused';
        version = outcome === 'acked' ? Number(answer.headers['headgate-version']) : null;
        break;
      }
      await pause(RETRY_MS * (0.5 + this.#random.next()));
    }
    // Whoever refuses what is right, or takes what is wrong, is told on: its effect is then missing.
    const isMisjudged = settled !== null && (outcome === 'refused') !== (isBad === true);
    if (isMisjudged)
      throw new Error(`${method} ${path} answered ${settled?.status}: ${settled?.text}`);
    if (version !== null) this.version = Math.max(this.version, version);
    this.#record({ type: 'write', key, effects, outcome, version, fromMs });
    return settled;
  }

  async #ask(method: string, path: string, sent: Parameters<typeof send>[2]) {
    const up = this.#fleet.controlPlanes.filter((member) => member.isRunning);
    const member = up[this.#random.below(up.length)];
    if (member === undefined) return null;
    try {
      return await send(member.url('admin'), path, { ...sent, method });
    } catch {
      return null;
    }
  }
}

/** Ids of nameless routes, so that they can be taken away later. */
function remember({ effects, path }: Planned, answer: Received, made: Map<string, string>): void {
  const names = Object.keys(effects);
  if (path === '/routes') {
    const { id } = answer.json() as { id: string };
    made.set(names[0] ?? '', id);
  }
  if (path !== '/headgate/bulk') return;
  const { operations } = answer.json() as { operations: { entity: { id: string } }[] };
  operations.forEach(({ entity }, index) => made.set(names[index] ?? '', entity.id));
}

const CLIENT_INTERVAL_MS = 20;

/** Asks one data plane for the same thing, 50 times a second, whatever becomes of the answers. */
export class Client {
  done = 0;
  readonly #member: Member;
  readonly #path: string;
  readonly #record: (event: Extract<HistoryEvent, { type: 'failure' }>) => void;
  readonly #under = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(
    member: Member,
    path: string,
    record: (event: Extract<HistoryEvent, { type: 'failure' }>) => void,
  ) {
    this.#member = member;
    this.#path = path;
    this.#record = record;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#member.isRunning) return;
      const asking = this.#ask().finally(() => this.#under.delete(asking));
      this.#under.add(asking);
    }, CLIENT_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await Promise.all(this.#under);
  }

  async #ask(): Promise<void> {
    const fromMs = performance.now();
    let detail: string;
    try {
      const { status, text } = await send(this.#member.url('proxy'), this.#path);
      if (status === 200) {
        this.done++;
        return;
      }
      detail = `${status} ${text}`;
    } catch (error) {
      detail = String(error);
    }
    const node = this.#member.name;
    this.#record({ type: 'failure', node, fromMs, toMs: performance.now(), detail });
  }
}
