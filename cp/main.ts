/** The control plane as a process. */
import { loadSettings } from '#shared/platform/node/env.ts';
import { createLogger } from '#shared/platform/node/logger.ts';
import { runProgram } from '#shared/platform/node/program.ts';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { startControlPlane } from './control-plane.ts';

await runProgram(async () => {
  const settings = loadSettings(CONTROL_PLANE_SETTINGS, process.env);
  const logger = createLogger({ name: 'cp', level: settings.HEADGATE_LOG_LEVEL });
  return startControlPlane(settings, logger);
});
