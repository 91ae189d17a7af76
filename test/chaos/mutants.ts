/**
 * Builds that are broken on purpose, each in a way that a test of this folder is there to notice. The
 * programs run from their sources, so a mutant is a text put in the place of another while they are
 * loaded (`mutate-hook.mjs`): no product code has switches for it. One that no longer fits its file
 * stops the program, so none can rot unseen.
 */
import { fileURLToPath } from 'node:url';

export interface Change {
  /** From the repository's root. */
  readonly file: string;
  /** Stands in the file once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly changes: readonly Change[];
  /** What catches it: a file of this folder, and a part of the test's name. */
  readonly file: string;
  readonly test: string;
}

const HOOK = fileURLToPath(new URL('./mutate-hook.mjs', import.meta.url));

/** For the programs of a fleet: the mutant that `CHAOS_MUTANT` names, or the build as it is. */
export function mutantEnv(): Readonly<Record<string, string>> {
  const name = process.env['CHAOS_MUTANT'];
  if (name === undefined) return {};
  const mutant = MUTANTS[name];
  if (mutant === undefined) throw new Error(`CHAOS_MUTANT: no mutant is called ${name}`);
  return changedEnv(mutant.changes);
}

/** For the environment of a program that runs with these changes. */
export function changedEnv(changes: readonly Change[]): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${HOOK}`, CHAOS_CHANGES: JSON.stringify(changes) };
}

const FAULTS = 'database-faults.slow.test.ts';
const PARTITIONS = 'partition.slow.test.ts';
const TRANSFER = 'paced-transfer.slow.test.ts';
const ROUNDS = 'kill-rounds.slow.test.ts';

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  'a control plane answers before COMMIT': {
    file: FAULTS,
    test: 'cut before it',
    changes: [
      {
        file: 'cp/store/drivers/pool.ts',
        find: '    await commit(connection);\n    return value;',
        replace: '    commit(connection).catch(() => {});\n    return value;',
      },
    ],
  },
  'an unknown outcome passes for a failure': {
    file: FAULTS,
    test: 'cut after it',
    changes: [
      {
        file: 'cp/store/drivers/pool.ts',
        find: '      outcomeUnknown: true,\n      cause: failure,',
        replace: '      outcomeUnknown: false,\n      cause: failure,',
      },
    ],
  },
  'Idempotency-Key is not looked at': {
    file: FAULTS,
    test: 'cut after it',
    changes: [
      {
        file: 'cp/admin/commit.ts',
        find: 'const repeatable = isDryRun ? null : request.repeatable;',
        replace: 'const repeatable = null as typeof request.repeatable;',
      },
    ],
  },
  'the hub does not poll': {
    file: FAULTS,
    test: 'drops every notification',
    changes: [
      {
        file: 'cp/sync/hub.ts',
        find: 'this.#every(pollMs, () => this.#poll());',
        replace: '',
      },
    ],
  },
  'the listener does not come back': {
    file: FAULTS,
    test: 'loses the connection that listens',
    changes: [
      {
        file: 'cp/store/drivers/listener.ts',
        find: 'this.#retry = setTimeout(() => void this.#connect(), Math.random() * this.#retryMs);',
        replace: 'this.#retry = setTimeout(() => {}, 0);',
      },
    ],
  },
  'a data plane drops its configuration when it is cut off': {
    file: ROUNDS,
    test: 'lose no acknowledged write',
    changes: [
      {
        file: 'shared/proxy/gateway.ts',
        find: '    this.#load = new Load(this.#forgottenAfterMs !== null);',
        replace:
          '    this.#load = new Load(this.#forgottenAfterMs !== null);\n' +
          '    Object.assign(globalThis, { dropTables: () => (this.#served = null) });',
      },
      {
        file: 'node-dp/connector.ts',
        find: '    events.close(code, reason);',
        replace: '    events.close(code, reason);\n    Object(globalThis).dropTables?.();',
      },
    ],
  },
  'a data plane goes on when nothing is heard': {
    file: PARTITIONS,
    test: 'noticed by both ends',
    changes: [
      {
        file: 'shared/sync/machine.ts',
        find: 'if (moment.nowMs >= link.heardMs + SILENCE_MAX_MS) {',
        replace: 'if (moment.nowMs < 0) {',
      },
      {
        file: 'shared/sync/machine.ts',
        find: 'return Math.min(link.pingAtMs, link.heardMs + SILENCE_MAX_MS);',
        replace: 'return link.pingAtMs;',
      },
    ],
  },
  'a control plane keeps those it has not heard of': {
    file: PARTITIONS,
    test: 'noticed by both ends',
    changes: [
      {
        file: 'cp/sync/session.ts',
        find: "if (nowMs - state.heardMs > SILENCE_MAX_MS) return close(CLOSE.silent, 'nothing heard');",
        replace: '',
      },
    ],
  },
  'a control plane waits for the last word of those that have gone': {
    file: PARTITIONS,
    test: 'noticed by both ends',
    changes: [
      {
        file: 'cp/sync/server.ts',
        find: 'const CLOSE_MAX_MS = 2_000;',
        replace: 'const CLOSE_MAX_MS = 30_000;',
      },
    ],
  },
  'a control plane sends all that is asked for, read or not': {
    file: TRANSFER,
    test: 'costs the control plane little',
    changes: [
      {
        file: 'cp/sync/runner.ts',
        find: '    await this.#lastSent;\n',
        replace: '',
      },
      {
        file: 'cp/sync/session.ts',
        find: 'if (bufferedBytes > BUFFERED_BYTES_MAX) {',
        replace: 'if (bufferedBytes < 0) {',
      },
    ],
  },
  'who does not read keeps the places of those who do': {
    file: TRANSFER,
    test: 'costs the control plane little',
    changes: [
      {
        file: 'cp/sync/runner.ts',
        find: 'this.#host.clock.setTimer(SHARDS_SENT_MAX_MS, release);',
        replace: '',
      },
    ],
  },
};
