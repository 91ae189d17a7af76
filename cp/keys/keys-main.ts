/** `headgate keys` as a process. */
import { runCommand } from '../transfer/command.ts';
import { KEYS_USAGE, runKeys } from './keys-command.ts';

await runCommand('keys', KEYS_USAGE, async (args) => {
  const output = await runKeys(args);
  return output === null ? null : { output, code: 0 };
});
