/**
 * How the records of this release become those of the one before (design 4.2). A release that changes the
 * shape of a record raises `SCHEMA_LEVEL` and writes the step down here; what a step answers must never
 * change again, because it is part of what was published. Its migration has the newest one of the release
 * before as its floor: two releases apart, control planes have no level in common, and would publish in turns.
 * While control planes of the release before are there, they publish what is `unfit` without what they do not
 * know: it is to be used when they are gone.
 */
import type { Sliced } from '#shared/base/slices.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';

/**
 * One level down, of one record's body. Null: older nodes know no such thing, and lose nothing by it.
 * `unfit`: without it they would serve something less guarded than was meant; then the whole version is
 * kept from them, and they go on with what they have.
 */
export type StepDown = (kind: string, body: AnyEntity) => AnyEntity | null | 'unfit';

export interface Levels {
  readonly newest: number;
  /** To the level before the newest; null when there is none. */
  readonly down: StepDown | null;
}

export const LEVELS: Levels = { newest: SCHEMA_LEVEL, down: null };

/** Levels that are published, newest first. */
export function publishedLevels({ newest, down }: Levels): readonly number[] {
  return down === null ? [newest] : [newest, newest - 1];
}

/** Which level a node gets that reads up to `level`; null: it is too old. */
export function levelFor(level: number, levels: Levels): number | null {
  return publishedLevels(levels).find((published) => published <= level) ?? null;
}

export interface Lowered {
  readonly records: readonly ConfigRecord[];
  /** Left out: older nodes know no such thing. */
  readonly dropped: readonly ConfigRecord[];
}

/** Records one level down. @returns the first record that must not be lowered, if there is one */
export function* lower(
  records: Iterable<ConfigRecord>,
  down: StepDown,
  crypto: Crypto,
): Sliced<Lowered | { readonly unfit: ConfigRecord }> {
  const lowered: ConfigRecord[] = [];
  const dropped: ConfigRecord[] = [];
  for (const record of records) {
    yield;
    const body = down(record.kind, record.body);
    if (body === 'unfit') return { unfit: record };
    if (body === null) dropped.push(record);
    else lowered.push(body === record.body ? record : makeRecord(record, body, crypto));
  }
  return { records: lowered, dropped };
}
