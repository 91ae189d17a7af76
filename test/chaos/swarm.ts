/** Light data planes by the hundred, in processes of their own (`swarm-child.ts`), as one object. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { must } from '#shared/base/assert.ts';
import { eventually } from '../support/eventually.ts';
import { changedEnv, type Change } from './mutants.ts';
import type { SwarmAnswer, SwarmOrder } from './swarm-child.ts';

const PROGRAM = fileURLToPath(new URL('./swarm-child.ts', import.meta.url));
/** Light nodes in one process. */
const NODES_PER_PROCESS = 1_000;
const HEAP_MB = 6_000;

/**
 * All light nodes of a process share what they parsed: a tree node is named by its content, so the
 * second one to get a text would make the same of it. Else a thousand of them would be a thousand
 * configurations in one heap, and the machine's time would be theirs and not the control plane's.
 */
const SHARED_PARSING: readonly Change[] = [
  {
    file: 'shared/config/assembly.ts',
    find: 'const parsed = parseNode(text, id, this.#crypto, wanted.prefix);',
    replace: `const cache = (Object(globalThis).parsedNodes ??= new Map());
    const key = wanted.prefix + '/' + id;
    if (cache.get(key)?.text !== text) {
      cache.set(key, { text, parsed: parseNode(text, id, this.#crypto, wanted.prefix) });
    }
    const parsed: ReturnType<typeof parseNode> = cache.get(key).parsed;`,
  },
];

export type Reached = Extract<SwarmAnswer, { type: 'reached' }>;

export interface SwarmOptions {
  readonly nodes: number;
  readonly controlPlanes: readonly string[];
  /** A token for so many nodes. */
  readonly joinToken: (uses: number) => Promise<string>;
  /** Id of the workspace whose versions count. */
  readonly workspace: string;
}

export class Swarm {
  readonly nodes: number;
  readonly #children: readonly ChildProcess[];

  private constructor(nodes: number, children: readonly ChildProcess[]) {
    this.nodes = nodes;
    this.#children = children;
  }

  /** Resolves when all of them have begun to dial. */
  static async start(options: SwarmOptions): Promise<Swarm> {
    const { nodes, controlPlanes, workspace } = options;
    const children: ChildProcess[] = [];
    for (let first = 0; first < nodes; first += NODES_PER_PROCESS) {
      const count = Math.min(NODES_PER_PROCESS, nodes - first);
      const child = fork(PROGRAM, [], {
        execArgv: [`--max-old-space-size=${HEAP_MB}`],
        env: { ...process.env, ...changedEnv(SHARED_PARSING) },
      });
      children.push(child);
      const joinToken = await options.joinToken(count);
      await ask(child, { type: 'start', nodes: count, first, controlPlanes, joinToken, workspace });
    }
    return new Swarm(nodes, children);
  }

  async reached(version: number, times = false): Promise<Reached> {
    const answers = await Promise.all(
      this.#children.map((child) => ask(child, { type: 'reached', version, times })),
    );
    const all = answers.filter((answer) => answer.type === 'reached');
    const sum = (of: (answer: Reached) => number): number =>
      all.reduce((total, answer) => total + of(answer), 0);
    return {
      type: 'reached',
      count: sum(({ count }) => count),
      times: all.flatMap((answer) => answer.times).toSorted((a, b) => a - b),
      live: sum(({ live }) => live),
      dialled: sum(({ dialled }) => dialled),
      rssBytes: sum(({ rssBytes }) => rssBytes),
      cpuMs: sum(({ cpuMs }) => cpuMs),
    };
  }

  /** Resolves with the times of all acknowledgements of this version or a later one, ascending. */
  async all(version: number, deadlineMs: number): Promise<readonly number[]> {
    await eventually(
      `all ${this.nodes} nodes to acknowledge version ${version}`,
      async () => {
        const { count, live } = await this.reached(version);
        if (count < this.nodes) throw new Error(`${count} did, ${live} are connected`);
        return true;
      },
      deadlineMs,
    );
    return (await this.reached(version, true)).times;
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

async function ask(child: ChildProcess, order: SwarmOrder): Promise<SwarmAnswer> {
  child.send(order);
  // What `once` answers is untyped; the child sends nothing else, one answer per order.
  const [answer] = (await once(child, 'message')) as [SwarmAnswer];
  return answer;
}

/** The value below which a share of the ascending values lies. */
export function quantile(ascending: readonly number[], share: number): number {
  const index = Math.min(ascending.length - 1, Math.ceil(share * ascending.length) - 1);
  return must(ascending[Math.max(0, index)], 'values');
}
