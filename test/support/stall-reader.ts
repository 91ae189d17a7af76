/** Reads what `stall-hook.ts` found in a program that was started with `--import=STALL_HOOK`. */
import { readFile } from 'node:fs/promises';
import { eventually } from './eventually.ts';
import type { Program } from './program.ts';
import type { Stalls } from './stall-hook.ts';

export const STALL_HOOK = new URL('./stall-hook.ts', import.meta.url).href;

export class StallReader {
  readonly #program: Pick<Program, 'pid'>;
  readonly #path: string;
  #turn = 0;

  /** @param path  what the program has in `STALL_FILE` */
  constructor(program: Pick<Program, 'pid'>, path: string) {
    this.#program = program;
    this.#path = path;
  }

  /** Since the last time. */
  async read(): Promise<Stalls> {
    this.#turn += 1;
    let stalls: Stalls | null = null;
    process.kill(this.#program.pid, 'SIGUSR2');
    await eventually('the figures', async () => {
      const text = await readFile(this.#path, 'utf8').catch(() => '{}');
      const found = JSON.parse(text) as Stalls;
      if (found.turn === this.#turn) stalls = found;
      return stalls !== null;
    });
    if (stalls === null) throw new Error('no figures');
    return stalls;
  }
}
