/** What a node says, made fit for Postgres: one hostile text must not fail a batch of rows. */
import type { Position } from '#shared/wire/frames.ts';

/** Without NUL, which Postgres has not, and without half characters, which JSON there refuses. */
export function clean(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

/** Longest that is kept of a name, in UTF-16 units; peers may say more before they have proved anything. */
export const NAME_LENGTH_MAX = 1_024;

/** What somebody calls himself, or something. */
export function cleanName(text: string): string {
  return clean(text.slice(0, NAME_LENGTH_MAX));
}

/** A hash that is none counts as "nothing". */
export function cleanPosition(position: Position): Position {
  const isHash = /^[0-9a-f]{64}$/.test(position.hash);
  return isHash ? position : { epoch: 0, revision: 0, hash: '' };
}
