/**
 * `npm start`: one of everything on this machine. A control plane on the embedded database, a Node
 * data plane and an edge data plane in workerd, each a process of its own; joined by tokens that are
 * handed over in files only their owner can read.
 */
import { loadSettings } from '#shared/platform/node/env.ts';
import { type Running, runProgram } from '#shared/platform/node/program.ts';
import { DEV_SETTINGS } from '#shared/settings/dev.ts';
import { DevStack } from './stack.ts';

await runProgram(async (): Promise<Running> => {
  const stack = new DevStack(loadSettings(DEV_SETTINGS, process.env), process.env);
  stack.onFailure((message) => {
    console.error(`headgate: ${message}`);
    void stack.stop().then(() => process.exit(1));
  });
  // Ctrl-C while the parts are still starting.
  const early = (): void => void stack.stop().then(() => process.exit(0));
  process.once('SIGINT', early);
  process.once('SIGTERM', early);
  try {
    await stack.start();
  } catch (error) {
    await stack.stop();
    throw error;
  }
  process.off('SIGINT', early);
  process.off('SIGTERM', early);
  console.log(stack.banner());
  return { addresses: {}, close: () => stack.stop() };
});
