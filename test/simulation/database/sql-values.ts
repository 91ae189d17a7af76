/**
 * Values of the model, as the port to the database shows them: `int8` is a number, `bytea` a
 * `Uint8Array`, `timestamptz` a `Date`, `jsonb` the parsed value, null is null.
 */
import { DbError } from '../../../cp/store/db.ts';
import type { TypeName } from './sql-ast.ts';

/** What a member of a `jsonb` is that is null: a value, other than none. */
export const JSON_NULL: { readonly toJSON: () => null } = Object.freeze({ toJSON: () => null });

/** Milliseconds; months do not exist here. */
export class Interval {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function coerce(value: unknown, type: TypeName): unknown {
  if (value === null || value === undefined) return null;
  if (!type.isArray) return coerceOne(value, type.name);
  const items = typeof value === 'string' ? arrayOfText(value) : value;
  if (!Array.isArray(items)) throw invalid(`no array: ${String(value)}`);
  return items.map((item: unknown) => coerce(item, { name: type.name, isArray: false }));
}

function coerceOne(value: unknown, type: string): unknown {
  switch (type) {
    case 'uuid': {
      const text = String(value).toLowerCase();
      if (!UUID.test(text)) throw invalid(`no uuid: ${text}`);
      return text;
    }
    case 'text':
    case 'varchar':
    case 'character':
    case 'name':
    case 'bit':
    case 'inet':
      return textOf(value);
    case 'int':
    case 'int2':
    case 'int4':
    case 'int8':
    case 'integer':
    case 'smallint':
    case 'bigint':
      return Math.round(numberOf(value));
    case 'float8':
    case 'numeric':
    case 'double':
    case 'real':
      return numberOf(value);
    case 'bool':
    case 'boolean':
      return value === true || value === 'true' || value === 't';
    case 'timestamptz':
      return value instanceof Date ? value : new Date(String(value));
    case 'json':
    case 'jsonb':
      return typeof value === 'string' ? parseJson(value) : value;
    case 'bytea':
      return bytesOf(value);
    case 'interval':
      return value instanceof Interval ? value : intervalOf(String(value));
    default:
      throw new Error(`the model does not know the type ${type}`);
  }
}

function numberOf(value: unknown): number {
  // Of a bit string, `x` and its digits in hex.
  const number = Number(typeof value === 'string' ? value.replace(/^x/, '0x') : value);
  if (Number.isNaN(number)) throw invalid(`no number: ${String(value)}`);
  return number;
}

function parseJson(text: string): unknown {
  if (text.includes(String.raw`\u0000`))
    throw new DbError('no NUL in jsonb', { sqlState: '22P05' });
  return JSON.parse(text);
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  const text = String(value);
  return text.startsWith(String.raw`\x`)
    ? new Uint8Array(Buffer.from(text.slice(2), 'hex'))
    : new Uint8Array(Buffer.from(text));
}

/** `{a,b}`, without quoted parts. */
function arrayOfText(text: string): string[] {
  const inner = text.slice(1, -1);
  return inner === '' ? [] : inner.split(',');
}

const UNIT_MS: Readonly<Record<string, number>> = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};

function intervalOf(text: string): Interval {
  const [count = '', unit = ''] = text.split(' ');
  const ms = UNIT_MS[unit.replace(/s$/, '')];
  if (ms === undefined) throw new Error(`the model does not know the interval ${text}`);
  return new Interval(Number(count) * ms);
}

export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return String.raw`\x` + Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return `{${value.map(textOf).join(',')}}`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function invalid(message: string): DbError {
  return new DbError(message, { sqlState: '22P02' });
}

/** Order of two values that are not null. */
export function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (a === JSON_NULL) return b === JSON_NULL || b === 'null' ? 0 : -1;
  if (b === JSON_NULL) return a === 'null' ? 0 : 1;
  if (a instanceof Date || b instanceof Date) return msOf(a) - msOf(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (a instanceof Interval && b instanceof Interval) return a.ms - b.ms;
  if (Array.isArray(a) && Array.isArray(b)) return compareArrays(a, b);
  if (typeof a === 'object' && typeof b === 'object') return compareTexts(stable(a), stable(b));
  // A text that is meant as `jsonb`: Postgres knows by the type of the other side.
  if (typeof a === 'object' && typeof b === 'string') return compareTexts(stable(a), jsonText(b));
  if (typeof a === 'string' && typeof b === 'object') return compareTexts(jsonText(a), stable(b));
  if (typeof a === 'number' || typeof b === 'number') return Number(a) - Number(b);
  return compareTexts(textOf(a), textOf(b));
}

function compareArrays(a: readonly unknown[], b: readonly unknown[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const order = compareNullsLast(a[index], b[index]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

export function compareNullsLast(a: unknown, b: unknown): number {
  const isNull = [a ?? null, b ?? null].map((value) => value === null);
  if (isNull[0] === true || isNull[1] === true) return Number(isNull[0]) - Number(isNull[1]);
  return compare(a, b);
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function jsonText(text: string): string {
  return stable(JSON.parse(text));
}

function msOf(value: unknown): number {
  return value instanceof Date ? value.getTime() : new Date(String(value)).getTime();
}

/** JSON with sorted names: `jsonb` knows no order. */
export function stable(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stable).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).toSorted(([a], [b]) => compareTexts(a, b));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${stable(item)}`).join(',')}}`;
}

/** A value as a part of a key. */
export function keyText(value: unknown): string {
  return typeof value === 'string' ? value : `${typeof value}:${textOf(value ?? 'null')}`;
}
