/** Headgate's programs as child processes: started on ports the system chooses, killed at will. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const READY_MS_MAX = 45_000;
const OUTPUT_LENGTH_MAX = 200_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What a program tells its supervisor. */
interface Ready {
  readonly type?: string;
  readonly addresses?: Readonly<Record<string, readonly string[]>>;
}

export class Program {
  readonly #process: ChildProcess;
  /** Resolves when the process is gone. */
  readonly ended: Promise<Ended>;
  #output = '';
  #errors = '';
  addresses: Readonly<Record<string, readonly string[]>> = {};

  constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#process = spawn(process.execPath, [`${ROOT}${args[0] ?? ''}`, ...args.slice(1)], {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output = (this.#output + text).slice(-OUTPUT_LENGTH_MAX);
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-OUTPUT_LENGTH_MAX);
    });
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Standard output so far. */
  get output(): string {
    return this.#output;
  }

  get errors(): string {
    return this.#errors;
  }

  /** First address of a role. */
  url(role: string): string {
    const address = this.addresses[role]?.[0];
    if (address === undefined) throw new Error(`no ${role} address; ${this.#errors}`);
    return address;
  }

  ready(): Promise<this> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`not ready: ${this.#output}\n${this.#errors}`)),
        READY_MS_MAX,
      );
      void this.ended.then(({ code }) => {
        clearTimeout(timer);
        reject(new Error(`ended with ${code} before it was ready: ${this.#errors}${this.#output}`));
      });
      this.#process.on('message', (message: Ready) => {
        if (message.type !== 'ready') return;
        clearTimeout(timer);
        this.addresses = message.addresses ?? {};
        resolve(this);
      });
    });
  }

  /** Any signal that it survives: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async kill(signal: NodeJS.Signals): Promise<Ended> {
    this.#process.kill(signal);
    return this.ended;
  }
}

export function startProgram(
  command: 'cp' | 'dp' | 'dev',
  env: Readonly<Record<string, string>>,
): Promise<Program> {
  return new Program(['headgate.mjs', command], env).ready();
}
