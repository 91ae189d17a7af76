/** What a node says, made fit for Postgres: one hostile text must not fail a batch of rows. */
import type { Position } from '#shared/wire/frames.ts';

/** Without NUL, which Postgres has not, and without half characters, which JSON there refuses. */
export function clean(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

/** A hash that is none counts as "nothing". */
export function cleanPosition(position: Position): Position {
  const isHash = /^[0-9a-f]{64}$/.test(position.hash);
  return isHash ? position : { epoch: 0, revision: 0, hash: '' };
}
