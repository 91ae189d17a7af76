/** The Go toolchain: clients are built from the Go module proxy, pinned by a go.mod and a go.sum here. */
import { spawn, spawnSync } from 'node:child_process';
import type { Writable } from 'node:stream';

/** A cold build of decK compiles some 1,500 packages: five minutes on two cores. */
const BUILD_MS_MAX = 20 * 60_000;
/** What go.mod asks for; a `go` without a toolchain to fetch says it less clearly. */
const GO_MINOR_MIN = 26;
const OUTPUT_LENGTH_MAX = 32 * 1024 * 1024;

export interface Finished {
  /** Null: killed, by its time limit or from outside. */
  readonly code: number | null;
  readonly output: string;
  readonly durationMs: number;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs: number;
  /** Also gets the output, as it comes. */
  readonly log?: Writable;
}

/** What to tell a person whose Go is missing or too old; null when it will do. */
export function missingGo(): string | null {
  const { stdout, status } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  return goProblem(status === 0 ? stdout : null);
}

/** @param version  `go1.26.8`; null where there is no Go */
export function goProblem(version: string | null): string | null {
  const [major, minor] = (/^go(\d+)\.(\d+)/.exec(version ?? '') ?? []).slice(1).map(Number);
  if (major !== undefined && (major > 1 || (minor ?? 0) >= GO_MINOR_MIN)) return null;
  const found = version === null ? 'no `go` found' : `this is ${version.trim()}`;
  return `${found}: install Go 1.${GO_MINOR_MIN} or newer (https://go.dev/dl/), which fetches and builds the client`;
}

/** Runs a program to its end. Output is both streams, as they came. */
export function run(file: string, args: readonly string[], options: RunOptions): Promise<Finished> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    const take = (text: string): void => {
      output = (output + text).slice(-OUTPUT_LENGTH_MAX);
      options.log?.write(text);
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, output, durationMs: performance.now() - started });
    });
  });
}

/** `go …` in a module's folder. @throws with the output when it fails */
export async function go(folder: string, args: readonly string[]): Promise<string> {
  const { code, output } = await run('go', args, {
    cwd: folder,
    env: GO_ENV,
    timeoutMs: BUILD_MS_MAX,
  });
  if (code !== 0) throw new Error(`go ${args.join(' ')} failed (${code}):\n${output.slice(-4000)}`);
  return output;
}

/** A workspace or flags of the machine must not change what is built. */
const GO_ENV = { GOWORK: 'off', GOFLAGS: '-mod=readonly -buildvcs=false' } as const;
