/** So much per second, minute, hour, day, month, year; and what is to be given with it. */
import type { EntityCheck } from '../schema/field.ts';
import { defineField } from '../schema/infer.ts';

/** Shortest first. */
export const PERIODS = ['second', 'minute', 'hour', 'day', 'month', 'year'] as const;

export type Limits = Readonly<Record<(typeof PERIODS)[number], number | null>>;

export const limit = defineField({ type: 'number', gt: 0 });

/** A longer period cannot allow less than a shorter one. */
export function orderError(limits: Limits, article: 'The' | 'the'): string | null {
  for (const [index, lower] of PERIODS.entries()) {
    const least = limits[lower];
    if (least === null) continue;
    for (const upper of PERIODS.slice(index + 1)) {
      const most = limits[upper];
      if (most === null || most >= least) continue;
      return (
        `${article} limit for ${upper}(${most.toFixed(1)}) cannot be lower than ` +
        `the limit for ${lower}(${least.toFixed(1)})`
      );
    }
  }
  return null;
}

/** A field of the configuration that must be there when another has a certain value. */
export function needs(field: string, value: string, companion: string): EntityCheck {
  return {
    conditional: {
      if_field: `config.${field}`,
      if_match: { eq: value },
      then_field: `config.${companion}`,
      then_match: { required: true },
    },
  };
}
