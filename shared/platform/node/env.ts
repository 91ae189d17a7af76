/** Settings of a Node process: from its environment, or one clear line and exit code 1. */
import { readFileSync } from 'node:fs';
import type { Fields } from '../../schema/field.ts';
import type { RecordOf } from '../../schema/infer.ts';
import { ALL_SETTING_NAMES } from '../../settings/names.ts';
import { parseSettings, problemText, type SettingProblem } from '../../settings/settings.ts';

/** Settings that stop a start; `main` programs print the message and exit with code 1. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(problems: readonly SettingProblem[]) {
    super(problems.map(problemText).join('\n'));
  }
}

/** @throws SettingsError naming each setting, its value and what is allowed */
export function loadSettings<const R extends Fields>(
  definitions: R,
  env: Readonly<Record<string, string | undefined>>,
): RecordOf<R> {
  const source = { env, readFile: (path: string) => readFileSync(path, 'utf8') };
  const result = parseSettings(definitions, source, ALL_SETTING_NAMES);
  if (!result.ok) throw new SettingsError(result.problems);
  return result.value;
}
