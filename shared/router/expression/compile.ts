/** Kong's router expressions, ready to be asked. */
import { parseExpression } from '../../expression/check.ts';
import type { Subsystem } from '../../expression/tree.ts';
import { MatchRecord, toEvaluate } from './evaluate.ts';
import type { Evaluate } from './evaluate.ts';
import { hintsOf } from './hints.ts';
import type { Hints, HostHint } from './hints.ts';
import type { ExpressionInput } from './input.ts';

export interface ExpressionMatch {
  /** What of the path was matched, for `strip_path`; null when the expression names none of it. */
  readonly path: string | null;
  /** Groups of all regexes that held; null when there was none or they have no groups. */
  readonly captures: {
    readonly named: Record<string, string>;
    readonly indexed: readonly string[];
  } | null;
}

export type CompiledExpression =
  | { readonly ok: true; readonly expression: Expression }
  | {
      readonly ok: false;
      /** With line and column. */
      readonly reason: string;
      /** Offset in the source, in UTF-16 units. */
      readonly position: number;
    };

/**
 * Parses, checks and compiles.
 *
 * The route's `protocols` are not part of it; Kong adds them (`router/expressions.lua`), and so must
 * whoever asks.
 */
export function compileExpression(source: string, subsystem: Subsystem): CompiledExpression {
  const parsed = parseExpression(source, subsystem);
  if (!parsed.ok) return parsed;
  const expression = new Expression(toEvaluate(parsed.tree), hintsOf(parsed.tree));
  return { ok: true, expression };
}

export class Expression {
  readonly #evaluate: Evaluate;
  readonly #hints: Hints;

  constructor(evaluate: Evaluate, hints: Hints) {
    this.#evaluate = evaluate;
    this.#hints = hints;
  }

  /** Whoever matches has a host that fits one of these. Null: any host, or none. */
  get hosts(): readonly HostHint[] | null {
    return this.#hints.hosts;
  }

  /** Whoever matches has a path that begins with one of these. Null: any path. */
  get prefixes(): readonly string[] | null {
    return this.#hints.prefixes;
  }

  matches(input: ExpressionInput): boolean {
    return this.#evaluate(input, null);
  }

  /** What matched, once `matches` has said yes and the route is the one that is taken. */
  matchOf(input: ExpressionInput): ExpressionMatch {
    const record = new MatchRecord();
    this.#evaluate(input, record);
    const { path, named, indexed } = record;
    const hasGroups = indexed !== null && named !== null && indexed.length > 0;
    return { path, captures: hasGroups ? { named, indexed } : null };
  }
}
