/** A command that ends by itself: its output, its errors in one line, its exit code. */
import { randomText } from '../admin/random-text.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Ended, TransferDeps } from './import.ts';
import { KeyringError } from '../keys/kek.ts';
import { UsageError } from './options.ts';
import { SourceError } from './settings.ts';

/** Wrong arguments, or something that went wrong. */
const FAILED = 1;

/**
 * @param name  of the command, for messages
 * @param run   gets the arguments after the command's name; null: help was asked for
 */
export async function runCommand(
  name: string,
  usage: string,
  run: (args: readonly string[], deps: Omit<TransferDeps, 'registry'>) => Promise<Ended | null>,
): Promise<void> {
  const deps = {
    nowSeconds: Date.now() / 1000,
    uuid: nodeRandom.uuid,
    randomText,
    env: process.env,
  };
  try {
    // After node, the script and the command.
    const ended = await run(process.argv.slice(3), deps);
    const output = ended?.output ?? usage;
    if (output !== '') process.stdout.write(output.endsWith('\n') ? output : `${output}\n`);
    process.exitCode = ended?.code ?? 0;
  } catch (error) {
    process.exitCode = FAILED;
    if (error instanceof UsageError) {
      process.stderr.write(`headgate ${name}: ${error.message}\n--help says what there is\n`);
    } else if (error instanceof SourceError || error instanceof KeyringError) {
      process.stderr.write(`headgate ${name}: ${error.message}\n`);
    } else throw error;
  }
}
