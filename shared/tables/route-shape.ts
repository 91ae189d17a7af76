/**
 * A route as the router can read it. A control plane only signs well-formed ones; of one that is not, what
 * cannot be read of its matchers is taken to match anything, so that it can be closed wherever its
 * requests might come (decision 22).
 */
import type { Route } from '../entities/route.ts';
import type { ConfigRecord } from '../config/record.ts';

export interface RouteShape {
  readonly route: Route;
  /** What is wrong with it; null: nothing. */
  readonly fault: string | null;
  /** Though something is wrong, a host or a literal path tells whose requests are its own. */
  readonly isCovered: boolean;
}

type Check = readonly [field: string, isFine: (value: unknown) => boolean, instead: unknown];

/** What the router and `bindRoute` depend on. */
const CHECKS: readonly Check[] = [
  ...['paths', 'hosts', 'methods', 'snis'].map((field): Check => [field, isTextListOrNone, null]),
  ...['sources', 'destinations'].map((field): Check => [field, isObjectListOrNone, null]),
  ['headers', (value) => isNone(value) || isHeaders(value), null],
  ['protocols', isTextList, []],
  ['expression', (value) => isNone(value) || typeof value === 'string', null],
  ['service', isReferenceOrNone, null],
];

export function readRoute({ body }: ConfigRecord): RouteShape {
  const wrong = CHECKS.filter(([field, isFine]) => !isFine(body[field]));
  // Each field that is read was looked at.
  if (wrong.length === 0) return { route: body as unknown as Route, fault: null, isCovered: true };
  const readable = Object.fromEntries(wrong.map((check) => [check[0], check[2]]));
  const route = { ...body, ...readable } as unknown as Route;
  const literals = [route.hosts ?? [], (route.paths ?? []).filter((path) => !path.startsWith('~'))];
  const names = wrong.map(([field]) => field).join(', ');
  const isCovered = literals.some(({ length }) => length > 0);
  return { route, fault: `what is no value of a route: ${names}`, isCovered };
}

/** A reference to another entity, as bodies have them, or none. */
export function isReferenceOrNone(value: unknown): boolean {
  if (isNone(value)) return true;
  return isObject(value) && typeof value['id'] === 'string' && value['id'] !== '';
}

function isNone(value: unknown): boolean {
  return value === null || value === undefined;
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isTextListOrNone(value: unknown): boolean {
  return isNone(value) || isTextList(value);
}

function isObjectListOrNone(value: unknown): boolean {
  return isNone(value) || (Array.isArray(value) && value.every(isObject));
}

function isHeaders(value: unknown): boolean {
  return isObject(value) && Object.values(value).every(isTextList);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
