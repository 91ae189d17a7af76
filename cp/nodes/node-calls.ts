/**
 * Asks nodes to do something, whichever control plane they are connected to: each asks its own, and the one
 * that was asked gathers the answers. Who is not reached in time is counted, never assumed.
 */
import type { Clock, Logger, Random } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { RPC_MS_MAX, type RpcOutcome } from '#shared/sync/rpc.ts';
import { DOWN_METHODS, type DownMethods, type ParamsOf } from '#shared/wire/rpc-methods.ts';
import type { Db } from '../store/db.ts';
import { isAlive } from './liveness.ts';

/** Channel on which control planes are asked to ask their nodes. */
export const CALLS_CHANNEL = 'headgate_calls';
/** Channel on which they say that the answer is there; payload: the call's id. */
export const ANSWERED_CHANNEL = 'headgate_call_answered';

/** Nodes of each outcome that an answer names; the others are counted. */
export const NAMED_MAX = 100;
/** Longest notification, in UTF-16 units: PostgreSQL takes 8,000 bytes. */
const CALL_LENGTH_MAX = 4_000;
/** Calls whose answers are awaited at once. */
const CALLS_MAX = 32;
/** Beyond what a node itself may take. */
const GATHER_MS_MAX = RPC_MS_MAX + 2_000;
const KEPT_MINUTES = 10;

export type DownMethod = keyof DownMethods & string;

/** A node's id, or all nodes of a group. */
export type Addressee = { readonly node: string } | { readonly group: string };

/** A type and not an interface, because it is written as JSON. */
export type CallAnswer = {
  /** Nodes that were asked. */
  readonly asked: number;
  readonly done: number;
  /** Connected to a control plane that did not answer. */
  readonly unreached: number;
  readonly nodes: readonly { readonly node: string; readonly value: JsonObject }[];
  readonly failed: readonly {
    readonly node: string;
    readonly code: string;
    readonly detail: string;
  }[];
};

/** What asks the nodes that are connected to this process. */
export type AskNodes = <M extends DownMethod>(
  to: Addressee,
  method: M,
  params: ParamsOf<DownMethods[M]>,
) => readonly { readonly node: string; readonly outcome: Promise<RpcOutcome<unknown>> }[];

export interface NodeCallsOptions {
  readonly db: Db;
  readonly self: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

interface Call {
  readonly id: string;
  readonly by: string;
  readonly to: Addressee;
  readonly method: DownMethod;
  readonly params: JsonObject;
}

const NOBODY: CallAnswer = { asked: 0, done: 0, unreached: 0, nodes: [], failed: [] };

export class NodeCalls {
  readonly #options: NodeCallsOptions;
  readonly #stops: (() => unknown)[] = [];
  readonly #waiting = new Map<string, () => void>();
  #ask: AskNodes = () => [];

  constructor(options: NodeCallsOptions) {
    this.#options = options;
  }

  /** @param ask  those that are connected here */
  async start(ask: AskNodes): Promise<void> {
    const { db } = this.#options;
    this.#ask = ask;
    this.#stops.push(await db.listen(CALLS_CHANNEL, (text) => void this.#heard(text)));
    this.#stops.push(await db.listen(ANSWERED_CHANNEL, (id) => this.#waiting.get(id)?.()));
  }

  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) await stop();
    for (const wake of this.#waiting.values()) wake();
  }

  /**
   * Resolves within seconds.
   *
   * @returns null when too many are under way
   */
  async call<M extends DownMethod>(
    to: Addressee,
    method: M,
    params: ParamsOf<DownMethods[M]>,
  ): Promise<CallAnswer | null> {
    if (this.#waiting.size >= CALLS_MAX) return null;
    const { self, random } = this.#options;
    const id = random.uuid();
    const here = this.#askHere(to, method, params);
    const elsewhere = await this.#connectedElsewhere(to);
    if (elsewhere.size === 0) return here;
    const text = JSON.stringify({ id, by: self, to, method, params });
    const answers =
      text.length > CALL_LENGTH_MAX
        ? new Map<string, CallAnswer>()
        : await this.#gather(id, text, elsewhere);
    let sum = await here;
    for (const [controlPlane, count] of elsewhere) {
      const answer = answers.get(controlPlane) ?? { ...NOBODY, asked: count, unreached: count };
      sum = plus(sum, answer);
    }
    return sum;
  }

  async #gather(
    id: string,
    text: string,
    elsewhere: ReadonlyMap<string, number>,
  ): Promise<Map<string, CallAnswer>> {
    const { db, clock } = this.#options;
    const answers = new Map<string, CallAnswer>();
    const wait = { isLate: false };
    let wake: () => void = () => {};
    this.#waiting.set(id, () => wake());
    const cancel = clock.setTimer(GATHER_MS_MAX, () => {
      wait.isLate = true;
      wake();
    });
    try {
      let told = new Promise<void>((resolve) => (wake = resolve));
      await db.notify(CALLS_CHANNEL, text);
      while (!wait.isLate && answers.size < elsewhere.size && this.#stops.length > 0) {
        await told;
        told = new Promise((resolve) => (wake = resolve));
        for (const [by, answer] of await this.#read(id)) answers.set(by, answer);
      }
    } finally {
      cancel();
      this.#waiting.delete(id);
    }
    await db.query('DELETE FROM node_call_answers WHERE call_id = $1', [id]);
    return answers;
  }

  async #read(id: string): Promise<[string, CallAnswer][]> {
    const { rows } = await this.#options.db.query<{ by: string; answer: CallAnswer }>(
      'SELECT control_plane AS by, answer FROM node_call_answers WHERE call_id = $1',
      [id],
    );
    return rows.map(({ by, answer }) => [by, answer]);
  }

  async #connectedElsewhere(to: Addressee): Promise<Map<string, number>> {
    const isNode = 'node' in to;
    const { rows } = await this.#options.db.query<{ by: string; count: number }>(
      `SELECT by, count FROM (
         SELECT connected_to AS by, count(*)::int AS count FROM nodes
         WHERE ${isNode ? 'id' : 'group_id'} = $1 AND revoked_at IS NULL
           AND connected_to IS NOT NULL AND connected_to <> $2 GROUP BY connected_to) c
       WHERE ${isAlive('c.by')}`,
      [isNode ? to.node : to.group, this.#options.self],
    );
    return new Map(rows.map(({ by, count }) => [by, count]));
  }

  async #askHere<M extends DownMethod>(
    to: Addressee,
    method: M,
    params: ParamsOf<DownMethods[M]>,
  ): Promise<CallAnswer> {
    const nodes: { node: string; value: JsonObject }[] = [];
    const failed: { node: string; code: string; detail: string }[] = [];
    const asked = this.#ask(to, method, params);
    let done = 0;
    await Promise.all(
      asked.map(async ({ node, outcome: promised }) => {
        const outcome = await promised;
        if (!outcome.ok) {
          const { code, detail } = outcome;
          if (failed.length < NAMED_MAX) failed.push({ node, code, detail });
          return;
        }
        done += 1;
        // Read against the method's result, which is a record.
        if (nodes.length < NAMED_MAX) nodes.push({ node, value: outcome.value as JsonObject });
      }),
    );
    return { asked: asked.length, done, unreached: 0, nodes, failed };
  }

  /** Another control plane was asked. */
  async #heard(text: string): Promise<void> {
    const { db, self, logger } = this.#options;
    const call = readCall(text);
    if (call === null || call.by === self) return;
    try {
      // `readCall` has read them against the method's definition.
      const answer = await this.#askHere(call.to, call.method, call.params as never);
      if (answer.asked === 0) return;
      await db.query(
        `WITH old AS (DELETE FROM node_call_answers
           WHERE made_at < now() - interval '${KEPT_MINUTES} minutes')
         INSERT INTO node_call_answers (call_id, control_plane, answer) VALUES ($1, $2, $3::jsonb)`,
        [call.id, self, JSON.stringify(answer)],
      );
      await db.notify(ANSWERED_CHANNEL, call.id);
    } catch (error) {
      logger.log('warn', 'nodes could not be asked for another control plane', {
        error: error instanceof Error ? error.message : String(error),
      });
    }
  }
}

function plus(a: CallAnswer, b: CallAnswer): CallAnswer {
  return {
    asked: a.asked + b.asked,
    done: a.done + b.done,
    unreached: a.unreached + b.unreached,
    nodes: [...a.nodes, ...b.nodes].slice(0, NAMED_MAX),
    failed: [...a.failed, ...b.failed].slice(0, NAMED_MAX),
  };
}

/** Only our own processes can notify, but they may be of another release. */
function readCall(text: string): Call | null {
  if (text === '') return null;
  // Checked as far as it matters: who is asked, and what.
  const call = JSON.parse(text) as Call;
  if (!Object.hasOwn(DOWN_METHODS, call.method)) return null;
  const parsed = parseRecord(DOWN_METHODS[call.method].params, call.params);
  return parsed.ok ? { ...call, params: parsed.value } : null;
}
