import { describe, expect, it } from 'vitest';
import type { RequestFacts } from '../facts.ts';
import { SEED, Seeded } from '../seeded.suite.ts';
import { compileExpression } from './compile.ts';
import type { HostHint } from './hints.ts';
import { ExpressionInput } from './input.ts';
import { randomExpression, randomFacts } from './random.suite.ts';
import { referenceMatches } from './reference.suite.ts';

function admitsHost(hints: readonly HostHint[] | null, { host }: RequestFacts): boolean {
  if (hints === null) return true;
  if (host === null) return false;
  const name = host.toLowerCase().replace(/:\d+$/, '');
  return hints.some(({ type, text }) => {
    if (type === 'exact') return name === text;
    return type === 'suffix' ? name.endsWith(text) : name.startsWith(text);
  });
}

function admitsPath(prefixes: readonly string[] | null, { path }: RequestFacts): boolean {
  return prefixes === null || prefixes.some((prefix) => path.startsWith(prefix));
}

describe('random expressions', () => {
  it('match what a plain reading matches, and then their hints admit it', () => {
    const random = new Seeded(SEED + 2);
    const input = new ExpressionInput();
    const requests = Array.from({ length: 300 }, () => randomFacts(random));
    let matched = 0;
    let hinted = 0;
    for (let i = 0; i < 3000; i += 1) {
      const source = randomExpression(random, 3);
      const compiled = compileExpression(source, 'http');
      if (!compiled.ok) throw new Error(`${source}: ${compiled.reason}`);
      const { expression } = compiled;
      if (expression.hosts !== null || expression.prefixes !== null) hinted += 1;
      for (let j = 0; j < 20; j += 1) {
        const facts = random.pick(requests);
        // One input for all: nothing of one request may stay for the next.
        input.setRequest(facts);
        const isMatch = expression.matches(input);
        const said = `seed ${SEED}: ${source} on ${JSON.stringify({ ...facts, headers: facts.headers.raw })}`;
        expect(isMatch, said).toBe(referenceMatches(source, facts));
        if (!isMatch) continue;
        matched += 1;
        expect(admitsHost(expression.hosts, facts), said).toBe(true);
        expect(admitsPath(expression.prefixes, facts), said).toBe(true);
        // Asking again for what is left behind changes nothing.
        expressionAgrees(expression.matchOf(input).path, facts, said);
      }
    }
    expect(matched).toBeGreaterThan(10_000);
    expect(hinted).toBeGreaterThan(200);
  });
});

/** What is said to have matched of the path is somewhere in it, but for its case. */
function expressionAgrees(path: string | null, facts: RequestFacts, said: string): void {
  if (path !== null) expect(facts.path.toLowerCase().includes(path.toLowerCase()), said).toBe(true);
}
