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

const HOOK = fileURLToPath(new URL('./mutate-hook.mjs', import.meta.url));

export type MutantName = keyof typeof MUTANTS;

/** For a program's environment. Null: the build as it is. */
export function mutantEnv(name: MutantName | null): Readonly<Record<string, string>> {
  return name === null ? {} : changedEnv(MUTANTS[name]);
}

/** For the environment of a program that runs with these changes. */
export function changedEnv(changes: readonly Change[]): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${HOOK}`, HEADGATE_TEST_MUTANT: JSON.stringify(changes) };
}

export const MUTANTS = {
  /** Caught by: a COMMIT cut on its way (false 2xx). */
  'control plane answers before COMMIT': [
    {
      file: 'cp/store/drivers/pool.ts',
      find: '    await commit(connection);\n    return value;',
      replace: '    commit(connection).catch(() => {});\n    return value;',
    },
  ],
  /** Caught by: a COMMIT cut on its way (a definite refusal that is none). */
  'unknown outcome passes for a failure': [
    {
      file: 'cp/store/drivers/pool.ts',
      find: '      outcomeUnknown: true,\n      cause: failure,',
      replace: '      outcomeUnknown: false,\n      cause: failure,',
    },
  ],
  /** Caught by: the retry after a cut COMMIT (done twice). */
  'Idempotency-Key is not looked at': [
    {
      file: 'cp/admin/commit.ts',
      find: 'const repeatable = isDryRun ? null : request.repeatable;',
      replace: 'const repeatable = null as typeof request.repeatable;',
    },
  ],
  /** Caught by: notifications dropped. */
  'hub does not poll': [
    {
      file: 'cp/sync/hub.ts',
      find: 'this.#every(pollMs, () => this.#poll());',
      replace: '',
    },
  ],
  /** Caught by: rounds of kill -9, the load on data planes that were not killed. */
  'data plane drops its configuration when it is cut off': [
    {
      file: 'shared/proxy/gateway.ts',
      find: '    this.#load = new Load(this.#forgottenAfterMs !== null);',
      replace:
        '    this.#load = new Load(this.#forgottenAfterMs !== null);\n' +
        '    Object.assign(globalThis, { dropTables: () => (this.#tables = null) });',
    },
    {
      file: 'node-dp/connector.ts',
      find: '    events.close(code, reason);',
      replace: '    events.close(code, reason);\n    Object(globalThis).dropTables?.();',
    },
  ],
} as const satisfies Readonly<Record<string, readonly Change[]>>;
