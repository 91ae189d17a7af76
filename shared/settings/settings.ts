/**
 * Settings: environment variables, each defined once with type, default and one line of meaning.
 *
 * The definitions are fields of the schema language; this file turns a process's environment into a
 * typed object, or into problems that name the setting, its value and what is allowed. A field marked
 * `encrypted` is a secret: its value is never printed, and `NAME_FILE` may point to a file instead.
 */
import type { Field, Fields } from '../schema/field.ts';
import type { RecordOf } from '../schema/infer.ts';

export interface SettingProblem {
  readonly name: string;
  /** As given; null for a secret or when nothing was given. */
  readonly value: string | null;
  readonly allowed: string;
}

export type SettingsResult<R extends Fields> =
  | { readonly ok: true; readonly value: RecordOf<R> }
  | { readonly ok: false; readonly problems: readonly SettingProblem[] };

export interface SettingsSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a secret's file; throws an error whose message says why it cannot. */
  readFile(path: string): string;
}

const PREFIX = 'HEADGATE_';

/**
 * Reads the settings of one program.
 *
 * @param known  names that other programs of the product define: present in a shared environment,
 *               and no typing mistake
 */
export function parseSettings<const R extends Fields>(
  definitions: R,
  source: SettingsSource,
  known: readonly string[] = [],
): SettingsResult<R> {
  const problems: SettingProblem[] = [];
  const value: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(definitions)) {
    const raw = rawValue(name, field, source, problems);
    if (raw === undefined) continue;
    if (raw === null) {
      if (field.required && defaultOf(field) === null) {
        problems.push({ name, value: null, allowed: `${allowedText(field)} (it must be set)` });
      }
      value[name] = defaultOf(field);
      continue;
    }
    const parsed = parseValue(field, raw);
    if (parsed.ok) value[name] = parsed.value;
    else problems.push({ name, value: field.encrypted ? null : raw, allowed: parsed.allowed });
  }
  problems.push(...unknownNames(definitions, source, known));
  // Every name of `definitions` was filled above with a value its field allows.
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: value as RecordOf<R> };
}

/** One line per problem, for a person. */
export function problemText(problem: SettingProblem): string {
  const given = problem.value === null ? '' : ` is ${JSON.stringify(problem.value)}`;
  return `${problem.name}${given}: ${problem.allowed}`;
}

/** Text of a setting, null when not given, undefined when it could not be read. */
function rawValue(
  name: string,
  field: Field,
  source: SettingsSource,
  problems: SettingProblem[],
): string | null | undefined {
  const direct = source.env[name];
  const path = field.encrypted ? source.env[`${name}_FILE`] : undefined;
  if (path !== undefined && path !== '') {
    if (direct !== undefined && direct !== '') {
      problems.push({
        name,
        value: null,
        allowed: `give either ${name} or ${name}_FILE, not both`,
      });
      return undefined;
    }
    try {
      return source.readFile(path).trim();
    } catch (error) {
      const allowed = `a readable file (${error instanceof Error ? error.message : String(error)})`;
      problems.push({ name: `${name}_FILE`, value: path, allowed });
      return undefined;
    }
  }
  // An empty variable means "not given": compose files and shells produce them all the time.
  return direct === undefined || direct === '' ? null : direct;
}

function defaultOf(field: Field): unknown {
  return 'default' in field && field.default !== undefined ? field.default : null;
}

type Parsed = { ok: true; value: unknown } | { ok: false; allowed: string };

function parseValue(field: Field, raw: string): Parsed {
  switch (field.type) {
    case 'integer':
    case 'number': {
      const pattern = field.type === 'integer' ? /^-?\d{1,15}$/ : /^-?\d{1,15}(\.\d{1,6})?$/;
      return pattern.test(raw) ? checked(field, Number(raw)) : fail(field);
    }
    case 'boolean':
      if (raw === 'on' || raw === 'true') return { ok: true, value: true };
      if (raw === 'off' || raw === 'false') return { ok: true, value: false };
      return fail(field);
    case 'string':
      return checked(field, raw);
    case 'array': {
      const items = raw
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '');
      for (const item of items) {
        const parsed = parseValue(field.elements, item);
        if (!parsed.ok)
          return { ok: false, allowed: `a comma-separated list of ${parsed.allowed}` };
      }
      return { ok: true, value: items };
    }
    default:
      return fail(field);
  }
}

function checked(field: Field, value: string | number): Parsed {
  if ('one_of' in field && field.one_of && !(field.one_of as readonly unknown[]).includes(value)) {
    return fail(field);
  }
  if ('between' in field && field.between) {
    const [low, high] = field.between;
    if (typeof value === 'number' && (value < low || value > high)) return fail(field);
  }
  // The validator of a field takes values of that field's type, which `value` is.
  const text = field.custom_validator?.(value as never) ?? null;
  return text === null ? { ok: true, value } : { ok: false, allowed: text };
}

function fail(field: Field): Parsed {
  return { ok: false, allowed: `expected ${allowedText(field)}` };
}

/** What a setting takes, in words; also for the reference table. */
export function allowedText(field: Field): string {
  if ('one_of' in field && field.one_of) return `one of: ${field.one_of.join(', ')}`;
  switch (field.type) {
    case 'integer':
    case 'number': {
      const kind = field.type === 'integer' ? 'a whole number' : 'a number';
      return field.between ? `${kind} from ${field.between[0]} to ${field.between[1]}` : kind;
    }
    case 'boolean':
      return 'on or off';
    case 'array':
      return 'a comma-separated list';
    default:
      return 'text';
  }
}

/** A name that nobody knows is a typing mistake that would otherwise go unnoticed. */
function unknownNames(
  definitions: Fields,
  source: SettingsSource,
  known: readonly string[],
): SettingProblem[] {
  const names = new Set([...Object.keys(definitions), ...known]);
  const problems: SettingProblem[] = [];
  for (const name of Object.keys(source.env)) {
    if (!name.startsWith(PREFIX) || names.has(name)) continue;
    const base = name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : name;
    if (names.has(base)) {
      const field = definitions[base];
      // A secret of another program of the product is none of ours to judge.
      if (field === undefined || field.encrypted) continue;
      problems.push({ name, value: null, allowed: `${base} is no secret: set it directly` });
      continue;
    }
    const near = nearest(name, [...names]);
    const hint = near === null ? '' : `; did you mean ${near}?`;
    problems.push({ name, value: null, allowed: `no such setting${hint}` });
  }
  return problems;
}

function nearest(name: string, candidates: readonly string[]): string | null {
  const limit = 3;
  let best: { name: string; distance: number } | null = null;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance <= limit && (best === null || distance < best.distance)) {
      best = { name: candidate, distance };
    }
  }
  return best?.name ?? null;
}

/** Levenshtein distance; names are short. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
