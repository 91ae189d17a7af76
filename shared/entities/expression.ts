/**
 * Expressions of Kong's router, as far as they can be checked without a parser of their language:
 * none is here yet.
 */
import { utf8 } from '../base/bytes.ts';

/** Longest expression, in bytes. */
export const EXPRESSION_LENGTH_MAX = 16 * 1024;

const MATCHERS = [
  'methods',
  'hosts',
  'paths',
  'headers',
  'snis',
  'sources',
  'destinations',
] as const;
const PREFIX = 'Router Expression failed validation: ';

/** What is outside of its texts must have its brackets in pairs, and each text an end. */
export function expressionError(expression: string): string | null {
  if (utf8(expression).length > EXPRESSION_LENGTH_MAX) {
    return `length must be at most ${EXPRESSION_LENGTH_MAX}`;
  }
  if (expression.trim() === '') return `${PREFIX}it is empty`;
  let depth = 0;
  for (let at = 0; at < expression.length; at += 1) {
    const letter = expression[at];
    if (letter === '(') depth += 1;
    else if (letter === ')') depth -= 1;
    else if (letter === '"') at = textEnd(expression, at);
    if (at === -1) return `${PREFIX}a text does not end`;
    if (depth < 0) return `${PREFIX}a bracket closes that was not opened`;
  }
  return depth === 0 ? null : `${PREFIX}a bracket is not closed`;
}

/**
 * Where the text that begins with the quote at `start` ends; -1 when it does not. `r#"…"#` is taken
 * as it is; in `"…"` a backslash hides the next letter.
 */
function textEnd(expression: string, start: number): number {
  if (expression.startsWith('r#', start - 2)) return expression.indexOf('"#', start + 1);
  for (let at = start + 1; at < expression.length; at += 1) {
    if (expression[at] === '\\') at += 1;
    else if (expression[at] === '"') return at;
  }
  return -1;
}

/** A route matches by its expression or by its lists, each with its own kind of priority. */
export function mixtureError(route: Readonly<Record<string, unknown>>): string | null {
  const hasExpression = typeof route['expression'] === 'string';
  const set = MATCHERS.filter((name) => isSet(route[name]));
  if (hasExpression && set.length > 0) {
    return `${PREFIX}'expression' cannot be set beside ${quoted(set)}`;
  }
  if (hasExpression && isOrder(route['regex_priority'])) {
    return `${PREFIX}'regex_priority' cannot be set beside 'expression'`;
  }
  if (set.length > 0 && isOrder(route['priority'])) {
    return `${PREFIX}'priority' cannot be set beside ${quoted(set)}`;
  }
  return null;
}

function isSet(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function isOrder(value: unknown): boolean {
  return typeof value === 'number' && value !== 0;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
