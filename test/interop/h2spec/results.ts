/** What h2spec found, and which of it is known and why. */

export interface Finding {
  /** Section and test, as h2spec names them. */
  readonly name: string;
  readonly isFailed: boolean;
}

/** Reasons, and the tests that may fail for them. */
export type Exceptions = Readonly<Record<string, readonly string[]>>;

export interface Verdict {
  readonly passed: number;
  /** Each is known, by its reason. */
  readonly excepted: ReadonlyMap<string, string>;
  readonly failed: readonly string[];
}

const CASE = /<testcase package="([^"]*)" classname="([^"]*)"[^>]*>(\s*<(?:failure|error)>)?/g;

/** @param report  h2spec's JUnit file; it quotes bytes that no XML may hold */
export function parseReport(report: string): Finding[] {
  return [...report.matchAll(CASE)].map(([, section, test, failure]) => ({
    name: `${section}: ${unescaped(test ?? '')}`,
    isFailed: failure !== undefined,
  }));
}

export function judge(findings: readonly Finding[], exceptions: Exceptions): Verdict {
  const reasons = new Map<string, string>();
  for (const [reason, names] of Object.entries(exceptions)) {
    for (const name of names) reasons.set(name, reason);
  }
  const excepted = new Map<string, string>();
  const failed: string[] = [];
  for (const { name, isFailed } of findings) {
    if (!isFailed) continue;
    const reason = reasons.get(name);
    if (reason === undefined) failed.push(name);
    else excepted.set(name, reason);
  }
  const known = new Set(findings.map(({ name }) => name));
  for (const name of reasons.keys()) if (!known.has(name)) failed.push(`${name}: did not run`);
  return { passed: findings.filter(({ isFailed }) => !isFailed).length, excepted, failed };
}

function unescaped(text: string): string {
  return text.replaceAll('&#34;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');
}
