/** The Node data plane as a process. */
import { loadSettings } from '#shared/platform/node/env.ts';
import { createLogger } from '#shared/platform/node/logger.ts';
import { runProgram } from '#shared/platform/node/program.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { startDataPlane } from './data-plane.ts';

// Who reads the log may go away; the traffic must not go with them.
process.stdout.on('error', () => {});

await runProgram(async () => {
  const settings = loadSettings(DATA_PLANE_SETTINGS, process.env);
  const logger = createLogger({ name: 'dp', level: settings.HEADGATE_LOG_LEVEL });
  return startDataPlane(settings, logger);
});
