/** A program of the stack as a child process: started, waited for until it is ready, stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { StartError } from '#shared/platform/node/start-error.ts';

/** Longest a program may take until it says that it is ready. */
const READY_MS_MAX = 60_000;
/** After it a stopping program is killed. */
const STOP_MS_MAX = 4_000;
/** Of a program's error output, what is kept to be shown when it dies. */
const ERROR_LENGTH_MAX = 4_000;

/** What a program sends over IPC once it serves. */
export interface Ready {
  readonly type: 'ready';
  readonly addresses: Readonly<Record<string, readonly string[]>>;
}

export interface ChildOptions {
  readonly name: string;
  /** Program file, relative to the repository. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called when it ends without having been asked to, after it was ready. */
  onDeath(message: string): void;
}

export class Child {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  #isReady = false;
  #stopping = false;
  #errorText = '';

  constructor(options: ChildOptions) {
    this.#options = options;
    const root = fileURLToPath(new URL('../../', import.meta.url));
    this.#process = spawn(process.execPath, [`${root}${options.program}`, ...options.args], {
      cwd: process.cwd(),
      env: { ...options.env },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      // A group of its own: Ctrl-C reaches the supervisor, which stops the parts in order.
      detached: true,
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.#isReady) process.stderr.write(text);
      this.#errorText = (this.#errorText + text).slice(-ERROR_LENGTH_MAX);
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once('exit', () => resolve());
    });
    this.#process.once('exit', (code, signal) => {
      if (this.#isReady && !this.#stopping) options.onDeath(this.#epitaph(code, signal));
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** @throws StartError with what the program said when it ended, or that it took too long */
  ready(): Promise<Ready['addresses']> {
    return new Promise((resolve, reject) => {
      const seconds = READY_MS_MAX / 1000;
      const timer = setTimeout(
        () => reject(new StartError(`${this.#options.name} was not ready within ${seconds} s`)),
        READY_MS_MAX,
      );
      this.#process.once('close', (code, signal) => {
        clearTimeout(timer);
        reject(new StartError(this.#epitaph(code, signal)));
      });
      this.#process.on('message', (message: Ready) => {
        if (message.type !== 'ready') return;
        clearTimeout(timer);
        this.#isReady = true;
        resolve(message.addresses);
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS_MAX);
    await this.#exited;
    clearTimeout(timer);
  }

  #epitaph(code: number | null, signal: string | null): string {
    const said = this.#errorText.trim();
    if (said !== '') return said.replace(/^headgate: /, '');
    return `${this.#options.name} ended with ${signal ?? `exit code ${code}`}`;
  }
}
