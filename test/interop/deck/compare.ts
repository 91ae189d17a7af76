/** Holds a dump against what was synced: the dump may say more (defaults, ids), never less or else. */
import { isJson, isList, type Json } from './state.ts';

/** What tells two entities of a list apart, best first. */
const NAMES = 'id instance_name kid prefix name username client_id key group target cert'.split(
  ' ',
);

/** @returns every place where the dump lacks, changes or adds an entity or a field that was given */
export function differences(given: unknown, dumped: unknown, path = ''): string[] {
  if (isList(given)) {
    if (!isList(dumped)) return given.length === 0 ? [] : [`${path}: missing`];
    if (given.some(isJson)) return ofEntities(given, dumped, path);
    const [a, b] = [given, dumped].map((list) => JSON.stringify([...list].map(String).toSorted()));
    return a === b ? [] : [`${path}: ${b} instead of ${a}`];
  }
  if (isJson(given)) {
    if (!isJson(dumped)) return [`${path}: missing`];
    return Object.entries(given).flatMap(([name, value]) =>
      differences(value, dumped[name], path === '' ? name : `${path}.${name}`),
    );
  }
  if (given === null && dumped === undefined) return [];
  return isSame(path, given, dumped) ? [] : [`${path}: ${say(dumped)} instead of ${say(given)}`];
}

function ofEntities(given: readonly unknown[], dumped: readonly unknown[], path: string): string[] {
  const rest = [...dumped];
  const found: string[] = [];
  for (const one of given) {
    const at = rest.findIndex((other) => isJson(one) && isJson(other) && nameOf(one, other));
    const label = `${path}[${isJson(one) ? labelOf(one) : say(one)}]`;
    if (at === -1) found.push(`${label}: missing`);
    else found.push(...differences(one, rest.splice(at, 1)[0], label));
  }
  return [...found, ...rest.map((other) => `${path}: has ${say(other).slice(0, 80)} besides`)];
}

function nameOf(one: Json, other: Json): boolean {
  const name = NAMES.find((candidate) => one[candidate] !== undefined);
  if (name === undefined) return differences(one, other).length === 0;
  return isSame(`.${name}`, one[name], other[name]);
}

function labelOf(one: Json): string {
  return say(one[NAMES.find((candidate) => one[candidate] !== undefined) ?? '']).slice(0, 60);
}

function isSame(path: string, given: unknown, dumped: unknown): boolean {
  // Kept as a hash; what comes back is that.
  if (path.includes('basicauth_credentials') && path.endsWith('.password')) return true;
  if (path.endsWith('.target')) return canonicalTarget(given) === canonicalTarget(dumped);
  if (typeof given === 'string' && typeof dumped === 'string')
    return given.trim() === dumped.trim();
  return given === dumped;
}

/** Kong writes IPv6 addresses out in full. */
function canonicalTarget(target: unknown): string {
  const text = String(target).toLowerCase();
  const match = /^\[([0-9a-f:]+)\](:\d+)?$/.exec(text);
  if (match === null) return text;
  return `${new URL(`http://[${match[1]}]/`).hostname}${match[2] ?? ''}`;
}

function say(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}
