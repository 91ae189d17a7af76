/**
 * What Kong's own parts say, recorded by running them: Rust's `regex` crate and `atc-router`. Patterns
 * and expressions are random ones.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { HeaderList } from '#shared/http/headers.ts';
import { compileExpressionRegex } from '#shared/regex/regex.ts';
import { compileExpression } from '#shared/router/expression/compile.ts';
import { ExpressionInput } from '#shared/router/expression/input.ts';
import type { RequestFacts } from '#shared/router/facts.ts';

interface RustRecord {
  readonly matches: readonly (readonly [
    pattern: string,
    /** All groups of the first match in a text; null for no match. */
    texts: Readonly<Record<string, readonly (string | null)[] | null>>,
  ])[];
  readonly refused: readonly string[];
}

interface RouterRecord {
  readonly requests: readonly (Omit<RequestFacts, 'headers'> & { readonly headers: string[] })[];
  readonly matches: readonly (readonly [
    expression: string,
    /** Index of a request; what it matched of the path, empty for nothing, null for no match. */
    outcomes: readonly (readonly [number, string | null])[],
  ])[];
  readonly refused: readonly string[];
}

function recorded(name: string): unknown {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
}

describe('regexes', () => {
  // The recording's own shape.
  const { matches, refused } = recorded('rust-regex.json') as RustRecord;

  it('match as in Rust', () => {
    for (const [pattern, texts] of matches) {
      const compiled = compileExpressionRegex(pattern, false);
      if (!compiled.ok) throw new Error(`${pattern}: ${compiled.reason}`);
      for (const [text, groups] of Object.entries(texts)) {
        const match = compiled.regex.search(text);
        const said = `${pattern} on ${JSON.stringify(text)}`;
        expect(match === null ? null : [match.matched, ...match.indexed], said).toEqual(
          groups === null ? null : groups.map((group) => group ?? ''),
        );
      }
    }
    expect(matches.length).toBe(500);
  });

  it('are refused as in Rust', () => {
    const accepted = refused.filter((pattern) => compileExpressionRegex(pattern, false).ok);
    expect(accepted).toEqual([]);
    expect(refused.length).toBe(200);
  });
});

describe('expressions', () => {
  const { requests, matches, refused } = recorded('atc-router.json') as RouterRecord;
  const facts = requests.map((request) => ({ ...request, headers: new HeaderList(request.headers) }));

  it('match as in atc-router', () => {
    const input = new ExpressionInput();
    for (const [source, outcomes] of matches) {
      const compiled = compileExpression(source, 'http');
      if (!compiled.ok) throw new Error(`${source}: ${compiled.reason}`);
      const { expression } = compiled;
      for (const [index, path] of outcomes) {
        const request = facts[index];
        if (request === undefined) throw new Error(`no request ${index}`);
        input.setRequest(request);
        const matched = expression.matches(input) ? (expression.matchOf(input).path ?? '') : null;
        expect(matched, `${source} on ${JSON.stringify(requests[index])}`).toBe(path);
      }
    }
    expect(matches.length).toBe(300);
  });

  it('are refused as in atc-router', () => {
    const accepted = refused.filter((source) => compileExpression(source, 'http').ok);
    expect(accepted).toEqual([]);
    expect(refused.length).toBe(200);
  });
});
