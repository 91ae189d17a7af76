/**
 * What a request must have for an expression to match, as far as an index can use it. Sound, never
 * complete: whatever the expression matches, the hints admit.
 */
import type { ExpressionNode, PredicateNode } from '../../expression/tree.ts';

export interface HostHint {
  /** `suffix`: begins with a dot. `prefix`: ends with a dot. */
  readonly type: 'exact' | 'suffix' | 'prefix';
  /** Lower case, without port. */
  readonly text: string;
}

export interface Hints {
  /** One of them fits the host. Null: the host can be anything, or missing. */
  readonly hosts: readonly HostHint[] | null;
  /** The path begins with one of them; none is empty. Null: it can be anything. */
  readonly prefixes: readonly string[] | null;
}

/** Pairs of host and prefix under which one route may be filed. */
export const HINTS_MAX = 1024;

const NONE: Hints = { hosts: null, prefixes: null };

export function hintsOf(tree: ExpressionNode): Hints {
  const { hosts, prefixes } = collect(tree);
  if (hosts === null || prefixes === null) return { hosts, prefixes };
  if (hosts.length * prefixes.length <= HINTS_MAX) return { hosts, prefixes };
  return hosts.length <= prefixes.length ? { hosts, prefixes: null } : { hosts: null, prefixes };
}

function collect(node: ExpressionNode): Hints {
  switch (node.type) {
    case 'and': {
      const each = node.terms.map(collect);
      return {
        hosts: narrowest(
          each.map(({ hosts }) => hosts),
          ({ type }) => type === 'exact',
        ),
        prefixes: narrowest(
          each.map(({ prefixes }) => prefixes),
          (text) => text.length > 1,
        ),
      };
    }
    case 'or': {
      const each = node.terms.map(collect);
      return {
        hosts: union(
          each.map(({ hosts }) => hosts),
          ({ type, text }) => `${type} ${text}`,
        ),
        prefixes: union(
          each.map(({ prefixes }) => prefixes),
          (text) => text,
        ),
      };
    }
    case 'not':
      return NONE;
    default:
      return ofPredicate(node);
  }
}

/** All lists hold, so any of them may stand for all: one of narrow hints, then the shortest. */
function narrowest<T>(
  lists: readonly (readonly T[] | null)[],
  isNarrow: (hint: T) => boolean,
): readonly T[] | null {
  let best: readonly T[] | null = null;
  let isBestNarrow = false;
  for (const list of lists) {
    if (list === null) continue;
    const isListNarrow = list.every(isNarrow);
    const isBetter =
      best === null ||
      (isListNarrow && !isBestNarrow) ||
      (isListNarrow === isBestNarrow && list.length < best.length);
    if (!isBetter) continue;
    best = list;
    isBestNarrow = isListNarrow;
  }
  return best;
}

function union<T>(
  lists: readonly (readonly T[] | null)[],
  keyOf: (hint: T) => string,
): readonly T[] | null {
  const all = new Map<string, T>();
  for (const list of lists) {
    if (list === null) return null;
    for (const hint of list) all.set(keyOf(hint), hint);
  }
  return [...all.values()];
}

function ofPredicate({ field, test, isLower }: PredicateNode): Hints {
  if (field.type === 'host' && test.type === 'text') {
    const hint = hostHint(test.operator, test.text);
    return hint === null ? NONE : { hosts: [hint], prefixes: null };
  }
  // What lower() is compared with says nothing of the path's own letters.
  if (isLower) return NONE;
  let prefix = '';
  if (field.type === 'path') {
    if (test.type === 'regex') prefix = test.regex.prefix;
    else if (test.type === 'text' && isFromStart(test.operator)) prefix = test.text;
  } else if (field.type === 'segments' && field.first === 0 && test.type === 'text') {
    if (isFromStart(test.operator)) prefix = `/${test.text}`;
  }
  return prefix === '' ? NONE : { hosts: null, prefixes: [prefix] };
}

function isFromStart(operator: string): boolean {
  return operator === '==' || operator === '^=';
}

/** Hosts are indexed by whole labels: of a longer text only what lies between dots helps. */
function hostHint(operator: string, text: string): HostHint | null {
  switch (operator) {
    case '==':
      return text === '' ? null : { type: 'exact', text };
    case '=^': {
      const dot = text.indexOf('.');
      return dot < 0 ? null : { type: 'suffix', text: text.slice(dot) };
    }
    case '^=': {
      const dot = text.lastIndexOf('.');
      return dot < 0 ? null : { type: 'prefix', text: text.slice(0, dot + 1) };
    }
    default:
      return null;
  }
}
