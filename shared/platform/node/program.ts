/**
 * What every program of the product does around its work: say in one line what stops the start, tell
 * a supervisor when it serves, stop in order on a signal, and never outlive its supervisor.
 */
import { constants } from 'node:os';

/** Something that runs. */
export interface Running {
  /** Where it listens, by role; for the supervisor and the log. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** Finishes what is in flight, within its own bound. */
  close(): Promise<void>;
}

/** Names of errors whose message is one line for a person: settings, ports, folders, keys. */
const EXPECTED = new Set([
  'SettingsError',
  'DatabaseSettingsError',
  'KeyringError',
  'LockedError',
  'MigrationError',
  'StartError',
]);

/** After it, a stop that does not finish is cut short. */
const STOP_MS_MAX = 3_600_000;

export async function runProgram(start: () => Promise<Running>): Promise<void> {
  let running: Running;
  try {
    running = await start();
  } catch (error) {
    console.error(`headgate: ${startFailure(error)}`);
    process.exit(1);
  }
  let stopping = false;
  const stop = (): void => {
    // A second signal does not wait: somebody is impatient.
    if (stopping) process.exit(1);
    stopping = true;
    setTimeout(() => process.exit(1), STOP_MS_MAX).unref();
    running.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('disconnect', stop);
  process.send?.({ type: 'ready', addresses: running.addresses });
}

function startFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (EXPECTED.has(error.name)) return error.message;
  const { code, path } = error as NodeJS.ErrnoException;
  // The system's refusals name the file themselves; they need no stack.
  if (code !== undefined && Object.hasOwn(constants.errno, code) && path !== undefined) {
    return `${path}: ${error.message}`;
  }
  return error.stack ?? error.message;
}
