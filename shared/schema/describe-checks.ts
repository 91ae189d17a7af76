/** Cross-field rules in words: JSON Schema has no name for most of them. */
import { unreachable } from '../base/assert.ts';
import type { EntityCheck } from './field.ts';

/** One sentence per rule that can be told without running it; empty when there is none. */
export function describeChecks(checks: readonly EntityCheck[]): string {
  return checks.flatMap(sentences).join(' ');
}

function sentences(check: EntityCheck): string[] {
  if ('at_least_one_of' in check) return [`At least one of ${list(check.at_least_one_of)}.`];
  if ('only_one_of' in check) return [`Exactly one of ${list(check.only_one_of)}.`];
  if ('mutually_required' in check) return [`All or none of ${list(check.mutually_required)}.`];
  if ('mutually_exclusive' in check) return [`At most one of ${list(check.mutually_exclusive)}.`];
  if ('distinct' in check) return [`No two alike of ${list(check.distinct)}.`];
  if ('conditional' in check) {
    const { if_field: ifField, then_field: thenField, then_err: text } = check.conditional;
    const plain = `What \`${thenField}\` may be depends on \`${ifField}\`.`;
    return [text === undefined ? plain : sentence(text.replaceAll('%s', ifField))];
  }
  if ('conditional_at_least_one_of' in check) {
    const given = check.conditional_at_least_one_of;
    const { then_at_least_one_of: then, else_then_at_least_one_of: otherwise } = given;
    return [
      told(given.if_field, then, given.then_err),
      ...(otherwise === undefined ? [] : [told(given.if_field, otherwise, given.else_then_err)]),
    ];
  }
  if ('custom_entity_check' in check) return [];
  return unreachable(check);
}

function told(ifField: string, names: readonly string[], text: string | undefined): string {
  if (text !== undefined) return sentence(text.replaceAll('%s', list(names)));
  return `Depending on \`${ifField}\`, at least one of ${list(names)}.`;
}

function list(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
