/** Command line of the interop runs. */
import { parseArgs } from 'node:util';
import { DATABASES, type DatabaseName } from './control-plane.ts';

export interface Options {
  /** One after the other. */
  readonly databases: readonly DatabaseName[];
  /** Where to leave counts for CI; null for nowhere. */
  readonly report: string | null;
}

/** Reads `--database pglite|postgres` (both unless given) and `--report FILE`. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: { database: { type: 'string' }, report: { type: 'string' } },
  });
  const { database } = values;
  const databases = DATABASES.filter((name) => database === undefined || name === database);
  if (databases.length === 0) {
    throw new Error(`--database ${database}: expected one of ${DATABASES.join(', ')}`);
  }
  return { databases, report: values.report ?? null };
}
