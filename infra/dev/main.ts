/**
 * `npm start`: one of everything on this machine. A control plane on the embedded database, a Node
 * data plane and an edge data plane in workerd, each a process of its own; joined by tokens that are
 * handed over in files only their owner can read.
 */
import { DEV_SETTINGS } from '#shared/settings/dev.ts';
import { loadSettings, SettingsError } from '#shared/platform/node/env.ts';
import { DevStack } from './stack.ts';

async function main(): Promise<void> {
  const settings = loadSettings(DEV_SETTINGS, process.env);
  const stack = new DevStack(settings, process.env);
  let stopping = false;
  const stop = (code: number): void => {
    if (stopping) return;
    stopping = true;
    void stack.stop().then(() => process.exit(code));
  };
  process.on('SIGINT', () => stop(0));
  process.on('SIGTERM', () => stop(0));
  stack.onFailure((message) => {
    console.error(`headgate: ${message}`);
    stop(1);
  });
  await stack.start();
  if (!stopping) console.log(stack.banner());
}

try {
  await main();
} catch (error) {
  // A setting or a part that failed has said what is wrong; anything else is a bug with a stack.
  const known =
    error instanceof SettingsError || (error instanceof Error && error.name === 'StartError');
  console.error(known ? `headgate: ${error.message}` : error);
  process.exit(1);
}
