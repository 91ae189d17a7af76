/** Functions and operators of the model. Arguments are never null, unless it says so. */
import { compare, Interval, JSON_NULL, keyText, stable, textOf } from './sql-values.ts';

/** What a running statement tells its functions. */
export interface Moment {
  /** Epoch milliseconds at which the transaction began, and now. */
  readonly startMs: number;
  readonly nowMs: number;
  readonly setting: (name: string) => string | null;
  readonly notify: (channel: string, payload: string) => void;
  readonly lock: (key: string) => boolean;
  readonly uuid: () => string;
  /** Of a sequence: never the same again, whatever is rolled back. */
  readonly next: () => number;
  readonly random: () => number;
  readonly xid: number;
}

type Fn = (args: readonly unknown[], moment: Moment) => unknown;

const secondsOf = (value: unknown): number =>
  value instanceof Date ? value.getTime() / 1000 : value instanceof Interval ? value.ms / 1000 : 0;

/** Answers null when any argument is. */
const STRICT: Readonly<Record<string, Fn>> = {
  extract: ([part, value]) => {
    if (part !== 'epoch') throw new Error(`the model does not extract ${String(part)}`);
    return secondsOf(value);
  },
  to_timestamp: ([a]) => new Date(Number(a) * 1000),
  floor: ([a]) => Math.floor(Number(a)),
  ceil: ([a]) => Math.ceil(Number(a)),
  round: ([a]) => Math.round(Number(a)),
  abs: ([a]) => Math.abs(Number(a)),
  length: ([a]) => textOf(a).length,
  left: ([a, count]) => textOf(a).slice(0, Number(count)),
  // Of a position, which here is the timeline that it is on.
  pg_walfile_name: ([timeline]) =>
    `${Number(timeline).toString(16).padStart(8, '0')}0000000000000000`,
  lower: ([a]) => textOf(a).toLowerCase(),
  md5: ([a]) => textOf(a),
  encode: ([a, format]) => Buffer.from(bytes(a)).toString(format === 'hex' ? 'hex' : 'base64'),
  decode: ([a, format]) =>
    new Uint8Array(Buffer.from(textOf(a), format === 'hex' ? 'hex' : 'base64')),
  to_jsonb: ([a]) => a,
  to_json: ([a]) => a,
  cardinality: ([a]) => list(a).length,
  array_length: ([a]) => (list(a).length === 0 ? null : list(a).length),
  jsonb_array_length: ([a]) => list(a).length,
  array_append: ([a, b]) => [...list(a), b],
  array_remove: ([a, b]) => list(a).filter((item) => compare(item, b) !== 0),
  jsonb_typeof: ([a]) => typeOfJson(a),
  pg_notify: ([channel, payload], moment) => {
    moment.notify(textOf(channel), textOf(payload));
    return '';
  },
  pg_advisory_xact_lock: ([key], moment) => {
    moment.lock(`advisory ${textOf(key)}`);
    return '';
  },
  pg_try_advisory_xact_lock: ([key], moment) => moment.lock(`try advisory ${textOf(key)}`),
  current_setting: ([name], moment) => moment.setting(textOf(name)),
  starts_with: ([a, b]) => textOf(a).startsWith(textOf(b)),
};

/** Takes nulls as they come. */
const LENIENT: Readonly<Record<string, Fn>> = {
  now: (_args, { startMs }) => new Date(startMs),
  transaction_timestamp: (_args, { startMs }) => new Date(startMs),
  clock_timestamp: (_args, { nowMs }) => new Date(nowMs),
  statement_timestamp: (_args, { nowMs }) => new Date(nowMs),
  random: (_args, { random }) => random(),
  current_database: () => 'headgate',
  pg_current_xact_id: (_args, { xid }) => xid,
  pg_current_wal_lsn: (_args, { setting }) => setting('timeline_id'),
  pg_postmaster_start_time: (_args, { setting }) => new Date(Number(setting('started_ms'))),
  nextval: (_args, { next }) => next(),
  gen_random_uuid: (_args, { uuid }) => uuid(),
  coalesce: (args) => args.find((value) => value !== null && value !== undefined) ?? null,
  nullif: ([a, b]) => (a !== null && b !== null && compare(a, b) === 0 ? null : a),
  greatest: (args) => extreme(args, 1),
  least: (args) => extreme(args, -1),
  jsonb_build_object: (args) => {
    const made: Record<string, unknown> = {};
    for (let index = 0; index < args.length; index += 2) {
      made[textOf(args[index])] = args[index + 1] ?? null;
    }
    return made;
  },
  jsonb_build_array: (args) => [...args],
  concat: (args) => args.map((value) => (value === null ? '' : textOf(value))).join(''),
};

function typeOfJson(value: unknown): string {
  if (value === JSON_NULL) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

export function callFunction(
  name: string,
  args: readonly unknown[],
  named: Readonly<Record<string, unknown>>,
  moment: Moment,
): unknown {
  if (name === 'make_interval') return makeInterval(named);
  const strict = STRICT[name];
  if (strict !== undefined) {
    return args.some((value) => value === null || value === undefined)
      ? null
      : strict(args, moment);
  }
  const lenient = LENIENT[name];
  if (lenient === undefined) throw new Error(`the model does not know the function ${name}`);
  return lenient(args, moment);
}

const INTERVAL_PARTS_MS: Readonly<Record<string, number>> = {
  secs: 1_000,
  mins: 60_000,
  hours: 3_600_000,
  days: 86_400_000,
};

function makeInterval(named: Readonly<Record<string, unknown>>): Interval | null {
  let ms = 0;
  for (const [part, value] of Object.entries(named)) {
    if (value === null) return null;
    ms += Number(value) * (INTERVAL_PARTS_MS[part] ?? Number.NaN);
  }
  return new Interval(ms);
}

function extreme(args: readonly unknown[], sign: 1 | -1): unknown {
  let best: unknown = null;
  for (const value of args) {
    if (value === null || value === undefined) continue;
    if (best === null || compare(value, best) * sign > 0) best = value;
  }
  return best;
}

export const AGGREGATES = new Set(
  (
    'count sum min max avg bool_or bool_and array_agg jsonb_agg json_agg string_agg ' +
    'jsonb_object_agg'
  ).split(' '),
);

/** @param rows  the arguments, row by row; none for `count(*)` */
export function aggregate(name: string, rows: readonly (readonly unknown[])[]): unknown {
  const isStar = rows.every((args) => args.length === 0);
  const firsts = rows.map(([value]) => value);
  const values = firsts.filter((value) => value !== null && value !== undefined);
  switch (name) {
    case 'count':
      return isStar ? rows.length : values.length;
    case 'sum':
      return values.length === 0 ? null : values.reduce<number>((sum, v) => sum + Number(v), 0);
    case 'avg':
      return values.length === 0
        ? null
        : values.reduce<number>((sum, v) => sum + Number(v), 0) / values.length;
    case 'min':
      return extreme(values, -1);
    case 'max':
      return extreme(values, 1);
    case 'bool_or':
      return values.length === 0 ? null : values.includes(true);
    case 'bool_and':
      return values.length === 0 ? null : !values.includes(false);
    case 'array_agg':
    case 'jsonb_agg':
    case 'json_agg':
      return rows.length === 0 ? null : firsts;
    case 'string_agg':
      return values.length === 0 ? null : values.map(textOf).join(textOf(rows[0]?.[1] ?? ''));
    default:
      return rows.length === 0
        ? null
        : Object.fromEntries(rows.map(([key, value]) => [textOf(key), value ?? null]));
  }
}

export function operate(op: string, a: unknown, b: unknown): unknown {
  switch (op) {
    case '=':
      return compare(a, b) === 0;
    case '<>':
      return compare(a, b) !== 0;
    case '<':
      return compare(a, b) < 0;
    case '<=':
      return compare(a, b) <= 0;
    case '>':
      return compare(a, b) > 0;
    case '>=':
      return compare(a, b) >= 0;
    case '+':
    case '-':
      return add(a, b, op === '+' ? 1 : -1);
    case '*':
      if (a instanceof Interval) return new Interval(a.ms * Number(b));
      if (b instanceof Interval) return new Interval(b.ms * Number(a));
      return Number(a) * Number(b);
    case '/':
      return Number(a) / Number(b);
    case '<<':
      return Number(a) * 2 ** Number(b);
    case '%':
      return Number(a) % Number(b);
    case '||':
      return concatenate(a, b);
    case '->':
      return memberOf(a, b) ?? (isRecord(a) && Object.hasOwn(a, String(b)) ? JSON_NULL : null);
    case '->>': {
      const member = memberOf(a, b);
      return member === null ? null : textOf(member);
    }
    case '#>':
      return list(b).reduce((at, step) => memberOf(at, step), a);
    case '@>':
      return contains(a, b);
    case '<@':
      return contains(b, a);
    case '&&':
      return list(a).some((item) => list(b).some((other) => compare(item, other) === 0));
    case '~':
      return new RegExp(textOf(b)).test(textOf(a));
    case 'like':
      return likePattern(textOf(b)).test(textOf(a));
    default:
      throw new Error(`the model does not know the operator ${op}`);
  }
}

function add(a: unknown, b: unknown, sign: 1 | -1): unknown {
  if (a instanceof Date && b instanceof Date) return new Interval(a.getTime() - b.getTime());
  if (a instanceof Date && b instanceof Interval) return new Date(a.getTime() + sign * b.ms);
  if (a instanceof Interval && b instanceof Date) return new Date(b.getTime() + a.ms);
  if (a instanceof Interval && b instanceof Interval) return new Interval(a.ms + sign * b.ms);
  if (typeof a === 'object' && a !== null && typeof b === 'string') {
    const { [b]: _gone, ...rest } = a as Record<string, unknown>; // jsonb - text
    return rest;
  }
  if (isRecord(a) && Array.isArray(b)) {
    return Object.fromEntries(Object.entries(a).filter(([name]) => !b.includes(name)));
  }
  return Number(a) + sign * Number(b);
}

function concatenate(a: unknown, b: unknown): unknown {
  if (Array.isArray(a)) return Array.isArray(b) ? [...a, ...b] : [...a, b];
  if (isRecord(a) && isRecord(b)) return { ...a, ...b };
  return textOf(a) + textOf(b);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Uint8Array)
  );
}

function memberOf(value: unknown, name: unknown): unknown {
  if (Array.isArray(value)) return value[Number(name)] ?? null;
  if (!isRecord(value) || !Object.hasOwn(value, String(name))) return null;
  return value[String(name)] ?? null;
}

function contains(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    const parts: readonly unknown[] = Array.isArray(b) ? b : [b];
    return parts.every((part) => a.some((item) => contains(item, part)));
  }
  if (isRecord(a) && isRecord(b)) {
    return Object.entries(b).every(([key, value]) => key in a && contains(a[key], value));
  }
  return stable(a) === stable(b) || keyText(a) === keyText(b);
}

function likePattern(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${source}$`, 's');
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function bytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}
