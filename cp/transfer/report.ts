/** What an import says: of every entity, and in sum. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Outcome, Verdict } from './document.ts';
import type { Loaded } from './load.ts';

export interface Report {
  readonly source: string;
  /** Address of the Admin API, with the workspace. Null: none was asked. */
  readonly target: string | null;
  readonly verdicts: readonly Verdict[];
  /** Null: it did not come to that. */
  readonly loaded: Loaded | null;
  /** What happened to it, in a sentence. */
  readonly result: string;
}

export type Counts = Readonly<Record<Outcome, number>>;

export function countsOf(verdicts: readonly Verdict[]): Counts {
  const counts = { 'taken over': 0, changed: 0, 'not possible': 0 };
  for (const { outcome } of verdicts) counts[outcome] += 1;
  return counts;
}

export function jsonReport(report: Report): string {
  const { source, target, verdicts, loaded, result } = report;
  const counts = countsOf(verdicts);
  const body: JsonObject = {
    source,
    target,
    taken_over: counts['taken over'],
    changed: counts.changed,
    not_possible: counts['not possible'],
    loaded: loaded?.ok === true && !loaded.dryRun,
    result,
    // Verdicts and errors hold nothing but strings and lists of them.
    errors: (loaded?.ok === false ? loaded.errors : []) as unknown as JsonValue,
    verdicts: verdicts as unknown as JsonValue,
  };
  return JSON.stringify(body, null, 2);
}

/** @param verbose  also what is taken over as it is */
export function textReport(report: Report, verbose: boolean): string {
  const { verdicts, loaded, result } = report;
  const shown = verdicts.filter(
    ({ outcome, notes }) => verbose || outcome !== 'taken over' || notes.length > 0,
  );
  const lines = shown.flatMap(verdictLines);
  if (lines.length > 0) lines.push('');
  lines.push(...kindLines(verdicts), summary(countsOf(verdicts)));
  if (loaded?.ok === false) {
    for (const { kind, name, texts } of loaded.errors) {
      lines.push(`${kind} ${name}`.trim(), ...texts.map((text) => `  refused: ${text}`));
    }
  }
  return [...lines, result].join('\n');
}

function verdictLines(verdict: Verdict): string[] {
  const { kind, name, at, outcome, changes, reasons, notes } = verdict;
  return [
    `${outcome}: ${kind}${name === '' ? '' : ` ${name}`} (${at})`,
    ...[...reasons, ...changes, ...notes].map((text) => `  ${text.replaceAll('\n', '\n    ')}`),
  ];
}

function kindLines(verdicts: readonly Verdict[]): string[] {
  const kinds = Map.groupBy(verdicts, ({ kind }) => kind);
  const width = Math.max(0, ...[...kinds.keys()].map((kind) => kind.length));
  return [...kinds].map(([kind, members]) => {
    const parts = Object.entries(countsOf(members)).flatMap(([outcome, count]) =>
      count === 0 ? [] : [`${count} ${outcome}`],
    );
    return `${kind.padEnd(width)}  ${parts.join(', ')}`;
  });
}

export function summary(counts: Counts): string {
  const { changed } = counts;
  const total = counts['taken over'] + changed + counts['not possible'];
  return (
    `${total} ${total === 1 ? 'entity' : 'entities'}: ${counts['taken over']} taken over, ` +
    `${changed} changed, ${counts['not possible']} not possible`
  );
}
