/** `headgate export` as a process. */
import { REGISTRY } from '#shared/registry.ts';
import { runCommand } from './command.ts';
import { runExport } from './export.ts';
import { EXPORT_USAGE, exportOptions } from './options.ts';

await runCommand('export', EXPORT_USAGE, async (args, deps) => {
  const options = exportOptions(args, deps.env);
  if (options === null) return null;
  const { text, remarks } = await runExport(options, REGISTRY);
  for (const remark of remarks) process.stderr.write(`headgate export: ${remark}\n`);
  return { output: text, code: 0 };
});
