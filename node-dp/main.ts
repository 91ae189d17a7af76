/** The Node data plane as a process: settings, start, signals. */
import { createLogger } from '#shared/platform/node/logger.ts';
import { loadSettings, SettingsError } from '#shared/platform/node/env.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { startDataPlane } from './data-plane.ts';
import { stopOnSignal } from './lifecycle.ts';
import { StartError } from './start-error.ts';

try {
  const settings = loadSettings(DATA_PLANE_SETTINGS, process.env);
  const logger = createLogger({ name: 'dp', level: settings.HEADGATE_LOG_LEVEL });
  const dataPlane = await startDataPlane(settings, logger);
  stopOnSignal(dataPlane, logger, settings.HEADGATE_DRAIN_SECONDS * 1000);
} catch (error) {
  // What a person can mend is one line; anything else is a bug and shows its stack.
  if (!(error instanceof SettingsError || error instanceof StartError)) throw error;
  process.stderr.write(`headgate dp: ${error.message}\n`);
  process.exit(1);
}
