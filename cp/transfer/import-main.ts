/** `headgate import` as a process. */
import { REGISTRY } from '#shared/registry.ts';
import { runCommand } from './command.ts';
import { runImport } from './import.ts';
import { IMPORT_USAGE, importOptions } from './options.ts';

await runCommand('import', IMPORT_USAGE, async (args, deps) => {
  const options = importOptions(args, deps.env);
  return options === null ? null : runImport(options, { ...deps, registry: REGISTRY });
});
