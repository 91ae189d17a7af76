/**
 * The router's rules in their plainest form: every route is looked at, those that match are sorted by
 * Kong's 64-bit number, the first is taken. Independent of the real one; slow; for comparison only.
 */
import { createHash } from 'node:crypto';
import type { Route } from '../entities/route.ts';
import type { RequestFacts } from './facts.ts';
import type { RouteEntry } from './router.ts';

interface Part {
  readonly entry: RouteEntry;
  readonly id: string;
  readonly paths: readonly string[];
  readonly priority: bigint;
}

export interface ReferenceMatch {
  readonly id: string;
  readonly matchedPath: string | null;
}

export function referenceMatch(
  entries: readonly RouteEntry[],
  facts: RequestFacts,
): ReferenceMatch | null {
  const parts = entries.flatMap((entry) => split(entry));
  const matching = parts.filter((part) => matches(part, facts));
  const [best] = matching.toSorted((a, b) => {
    if (a.priority !== b.priority) return a.priority > b.priority ? -1 : 1;
    return a.id > b.id ? -1 : 1;
  });
  if (best === undefined) return null;
  const matchedPath = best.paths.map((path) => matchPath(path, facts.path)).find(isText) ?? null;
  return { id: best.entry.route.id, matchedPath };
}

function split(entry: RouteEntry): Part[] {
  const { route } = entry;
  const paths = route.paths ?? [];
  const keys = [...new Set(paths.map(groupKey))];
  if (keys.length <= 1) {
    return [{ entry, id: route.id, paths, priority: priorityOf(route, paths) }];
  }
  return keys.map((key, index) => {
    const group = paths.filter((path) => groupKey(path) === key);
    const id = v5('7f145bf9-0dce-4f91-98eb-debbce4b9f6b', `${route.id}#${index + 1}`);
    return { entry, id, paths: group, priority: priorityOf(route, group) };
  });
}

function groupKey(path: string): number {
  return path.startsWith('~') ? 0 : path.length;
}

function priorityOf(route: Route, paths: readonly string[]): bigint {
  const { hosts, methods, snis, headers } = route;
  const headerCount = Object.keys(headers ?? {}).length;
  const kinds = [hosts, methods, snis, paths].filter((list) => (list ?? []).length > 0).length;
  const [first] = paths;
  const isRegex = first?.startsWith('~') ?? false;
  let priority = BigInt(kinds + (headerCount > 0 ? 1 : 0)) << 61n;
  if (hosts !== null && !hosts.some((host) => host.includes('*'))) priority |= 1n << 60n;
  priority |= BigInt(headerCount) << 52n;
  if (isRegex) priority |= (1n << 51n) | (BigInt(route.regex_priority ?? 0) << 19n);
  else if (first !== undefined) priority |= BigInt(first.length);
  return priority;
}

function matches(part: Part, facts: RequestFacts): boolean {
  const { methods, hosts, headers, snis } = part.entry.route;
  if (isSet(methods) && !methods.includes(facts.method)) return false;
  if (isSet(hosts) && !hosts.some((host) => matchHost(host, facts))) return false;
  if (part.paths.length > 0 && !part.paths.some((path) => isText(matchPath(path, facts.path)))) {
    return false;
  }
  for (const [name, values] of Object.entries(headers ?? {})) {
    if (!values.some((value) => matchHeader(name, value, facts))) return false;
  }
  if (!isSet(snis) || facts.scheme === 'http') return true;
  const sni = facts.sni?.replace(/(.)\.$/, '$1');
  return sni !== undefined && snis.some((test) => matchWildcard(test.replace(/(.)\.$/, '$1'), sni));
}

function isSet(list: readonly string[] | null): list is readonly string[] {
  return list !== null && list.length > 0;
}

function isText(value: string | null): value is string {
  return value !== null;
}

function matchHost(test: string, facts: RequestFacts): boolean {
  if (facts.host === null) return false;
  const [, name = facts.host, port] = /^([^:]*):(\d+)$/.exec(facts.host) ?? [];
  const [, testName = test, testPort] = /^([^:]*):(\d+)$/.exec(test) ?? [];
  if (testPort !== undefined && Number(testPort) !== Number(port ?? facts.port)) return false;
  return matchWildcard(testName, name);
}

function matchWildcard(test: string, name: string): boolean {
  if (test.startsWith('*')) return name.endsWith(test.slice(1));
  if (test.endsWith('*')) return name.startsWith(test.slice(0, -1));
  return name === test;
}

function matchPath(test: string, path: string): string | null {
  if (!test.startsWith('~')) return path.startsWith(test) ? test : null;
  return new RegExp(`^(?:${test.slice(1)})`).exec(path)?.[0] ?? null;
}

function matchHeader(name: string, value: string, facts: RequestFacts): boolean {
  for (let i = 0; i < facts.headers.size; i += 1) {
    if (fold(facts.headers.nameAt(i)) !== fold(name)) continue;
    const received = facts.headers.valueAt(i).toLowerCase();
    if (received === value.toLowerCase()) return true;
    if (value.startsWith('~*') && new RegExp(value.slice(2), 'i').test(received)) return true;
  }
  return false;
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll('-', '_');
}

function v5(namespace: string, name: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
    .subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
