/**
 * Entity tags (RFC 9110, 8.8.3 and 13.1): whoever read an entity may write it only if it is still
 * what was read. A tag is a keyed hash of the stored entity: the same on every control plane, and
 * useless for guessing the secrets in it.
 */
import { createHmac } from 'node:crypto';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { AdminError } from './errors.ts';

const TAG_LENGTH = 22;

export function entityTag(entity: AnyEntity, key: Uint8Array): string {
  const mac = createHmac('sha256', key).update(JSON.stringify(sorted(entity)));
  return `"${mac.digest('base64url').slice(0, TAG_LENGTH)}"`;
}

/** Members in order of their names: a stored entity comes back in another order than it was made. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => [name, sorted(member)]);
}

/** Lists of tags, or `*`, as in the headers of these names; null where there is none. */
export interface Conditions {
  readonly ifMatch: string | null;
  readonly ifNoneMatch: string | null;
}

export function conditionsOf(headers: Headers): Conditions {
  return { ifMatch: headers.get('if-match'), ifNoneMatch: headers.get('if-none-match') };
}

/**
 * Refuses a write whose conditions do not hold for what is there now.
 *
 * @param current  null: there is no such entity
 * @throws AdminError 412
 */
export function checkConditions(
  { ifMatch: match, ifNoneMatch: noneMatch }: Conditions,
  current: AnyEntity | null,
  key: Uint8Array,
): void {
  if (match !== null && (current === null || !includes(match, entityTag(current, key)))) {
    const fact = current === null ? 'it is not there' : 'it was changed since it was read';
    throw new AdminError(412, { message: `Precondition failed: If-Match, but ${fact}` });
  }
  if (noneMatch !== null && current !== null && includes(noneMatch, entityTag(current, key))) {
    throw new AdminError(412, { message: 'Precondition failed: If-None-Match, but it is there' });
  }
}

/**
 * For writes of more than one entity, which no tag stands for: a condition that nobody checks must
 * not pass for one that holds.
 *
 * @throws AdminError 400
 */
export function refuseConditions(headers: Headers): void {
  for (const name of ['If-Match', 'If-None-Match', 'If-Unmodified-Since']) {
    if (!headers.has(name)) continue;
    throw new AdminError(400, { message: `${name}: only writes of a single entity can have it` });
  }
}

/** For reads: whether the client has it already. */
export function isKnown(headers: Headers, tag: string): boolean {
  const noneMatch = headers.get('if-none-match');
  return noneMatch !== null && includes(noneMatch, tag);
}

function includes(list: string, tag: string): boolean {
  if (list.trim() === '*') return true;
  return list.split(',').some((item) => item.trim().replace(/^W\//, '') === tag);
}
