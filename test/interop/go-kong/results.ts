/** Reads `go test -v` and holds it against the list of what has to run. */

export type Outcome = 'passed' | 'failed' | 'skipped' | 'unfinished';

export interface Expected {
  /** Tests that talk to a gateway, by file: all must pass. */
  readonly live: Readonly<Record<string, readonly string[]>>;
  /** Tests that need none: all must pass. */
  readonly withoutServer: readonly string[];
  /** Tests that go-kong itself skips for Kong 3.9 OSS, by reason. */
  readonly skipped: Readonly<Record<string, readonly string[]>>;
}

export interface Verdict {
  readonly passed: readonly string[];
  /** `TestX: why it counts as failed`. */
  readonly failed: readonly string[];
  /** Skipped as they should be. */
  readonly skipped: readonly string[];
}

/** Top-level tests only; a test without a result line was cut off, by a panic or the time limit. */
export function parseGoTest(output: string): ReadonlyMap<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  const words = { PASS: 'passed', FAIL: 'failed', SKIP: 'skipped' } as const;
  for (const line of output.split('\n')) {
    const run = /^=== RUN +(\w+)$/.exec(line);
    if (run !== null) outcomes.set(run[1] ?? '', 'unfinished');
    const result = /^--- (PASS|FAIL|SKIP): (\w+) \(/.exec(line);
    if (result !== null) outcomes.set(result[2] ?? '', words[result[1] as keyof typeof words]);
  }
  return outcomes;
}

/** A pinned suite has no surprises: what is on no list, or ran differently than listed, fails. */
export function judge(outcomes: ReadonlyMap<string, Outcome>, expected: Expected): Verdict {
  const mustPass = [...Object.values(expected.live).flat(), ...expected.withoutServer];
  const maySkip = new Set(Object.values(expected.skipped).flat());
  const passed = mustPass.filter((name) => outcomes.get(name) === 'passed');
  const failed = mustPass
    .filter((name) => outcomes.get(name) !== 'passed')
    .map((name) => `${name}: ${outcomes.get(name) ?? 'did not run'}`);
  const skipped = [...maySkip].filter((name) => outcomes.get(name) === 'skipped');
  for (const name of maySkip) {
    const outcome = outcomes.get(name) ?? 'did not run';
    if (outcome !== 'skipped') failed.push(`${name}: ${outcome}, though listed as skipped`);
  }
  const known = new Set([...mustPass, ...maySkip]);
  for (const [name, outcome] of outcomes) {
    if (!known.has(name)) failed.push(`${name}: ${outcome}, and not in expected.json`);
  }
  return { passed, failed, skipped };
}
