/** Runs decK against an Admin API, and reads what it says. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Writable } from 'node:stream';
import { type Finished, go, run } from '../support/go.ts';
import { isJson, type State } from './state.ts';

const FOLDER = fileURLToPath(new URL('./', import.meta.url));
const COMMAND_MS_MAX = 10 * 60_000;

export interface Changes {
  readonly created: number;
  readonly updated: number;
  readonly deleted: number;
}

export class Deck {
  readonly folder: string;
  readonly #binary: string;
  readonly #log: Writable;
  /** Of the Admin API. */
  readonly url: string;

  constructor(build: DeckBuild, url: string, log: Writable) {
    this.folder = mkdtempSync(join(tmpdir(), 'headgate-deck-state-'));
    this.#binary = build.binary;
    this.url = url;
    this.#log = log;
  }

  /** `deck gateway <args>`, whatever its exit code. */
  async gateway(...args: readonly string[]): Promise<Finished> {
    return this.command('gateway', ...args, '--kong-addr', this.url);
  }

  async command(...args: readonly string[]): Promise<Finished> {
    this.#log.write(`\n$ deck ${args.join(' ')}\n`);
    const finished = await run(this.#binary, args, {
      cwd: this.folder,
      // No settings of the machine's user, no usage data to anybody.
      env: { DECK_ANALYTICS: 'off', HOME: this.folder, NO_COLOR: '1' },
      timeoutMs: COMMAND_MS_MAX,
      log: this.#log,
    });
    this.#log.write(`exit code ${finished.code}, ${Math.round(finished.durationMs)} ms\n`);
    return finished;
  }

  /** Writes a state file. @returns its path */
  write(name: string, state: State): string {
    const file = join(this.folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(state, null, 1));
    return file;
  }

  async sync(file: string, ...args: readonly string[]): Promise<Changes> {
    const { code, output } = await this.gateway('sync', file, ...args);
    if (code !== 0) throw new Error(`sync ended with ${code}: ${tail(output)}`);
    return readChanges(output);
  }

  /** @returns what would change, and the exit code (0 none, 2 some) */
  async diff(file: string, ...args: readonly string[]): Promise<Changes & { code: number }> {
    const { code, output } = await this.gateway('diff', '--non-zero-exit-code', file, ...args);
    if (code !== 0 && code !== 2) throw new Error(`diff ended with ${code}: ${tail(output)}`);
    return { code, ...readChanges(output) };
  }

  async dump(...args: readonly string[]): Promise<State> {
    const file = join(this.folder, 'dump.json');
    const options = ['--output-file', file, '--format', 'json', '--yes'];
    const { code, output } = await this.gateway('dump', ...options, ...args);
    if (code !== 0) throw new Error(`dump ended with ${code}: ${tail(output)}`);
    const state: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (!isJson(state)) throw new Error('the dump is no object');
    return state;
  }

  async reset(...args: readonly string[]): Promise<Changes> {
    const { code, output } = await this.gateway('reset', '--force', ...args);
    if (code !== 0) throw new Error(`reset ended with ${code}: ${tail(output)}`);
    return readChanges(output);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface DeckBuild {
  readonly binary: string;
  remove(): void;
}

/** Builds the decK that go.mod pins; Go's build cache makes the second time quick. */
export async function buildDeck(): Promise<DeckBuild> {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-deck-'));
  const binary = join(folder, 'deck');
  await go(FOLDER, ['build', '-o', binary, 'github.com/kong/deck']);
  return { binary, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function readChanges(output: string): Changes {
  const match = /Created: (\d+)\s+Updated: (\d+)\s+Deleted: (\d+)/.exec(output);
  if (match === null) throw new Error(`decK gave no summary: ${tail(output)}`);
  const [created = 0, updated = 0, deleted = 0] = match.slice(1).map(Number);
  return { created, updated, deleted };
}

/** The end of what decK said; key pairs, which it likes to repeat, are left out. */
export function tail(output: string): string {
  return output
    .replaceAll(/-----BEGIN.*?-----END[A-Z ]*-----(\\n)?/gs, '(PEM)')
    .trim()
    .slice(-1500);
}
