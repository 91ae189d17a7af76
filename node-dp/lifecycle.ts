/** A process around something that can be closed: signals, one orderly stop, exit codes. */
import type { Logger } from '#shared/platform/platform.ts';

/** After the drain and its deadline; should closing hang, the process ends all the same. */
const CLOSE_GRACE_MS = 3000;

export interface Closable {
  close(): Promise<void>;
}

/** Stops on SIGTERM or SIGINT; a second signal ends the process at once. */
export function stopOnSignal(program: Closable, logger: Logger, drainMs: number): void {
  let isStopping = false;
  const stop = (signal: string): void => {
    if (isStopping) process.exit(1);
    isStopping = true;
    logger.log('info', 'stopping', { signal });
    const limit = setTimeout(() => {
      logger.log('error', 'did not stop in time');
      process.exit(1);
    }, drainMs + CLOSE_GRACE_MS);
    limit.unref();
    program.close().then(
      () => {
        logger.log('info', 'stopped');
        process.exit(0);
      },
      (error: unknown) => {
        logger.log('error', 'stopping failed', { error: String(error) });
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}
