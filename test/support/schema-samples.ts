/** Values by JSON Schema: ones that should pass, and ones that are broken in a single place. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Depth from which only what is required is filled in. */
const DEPTH_MAX = 6;

/** Texts that pass validators which no schema expresses, by the name of the field. */
const HINTS: readonly (readonly [name: RegExp, texts: readonly string[]])[] = [
  [/^(target)$/, ['h.test:80', '10.0.0.7:8080', '[::1]:80', 'h2.test']],
  [
    /(_url|_uri|^url|endpoint|^issuer|location|_path_prefix)$/,
    ['http://h.test:80/x', 'https://a.test'],
  ],
  [/(^|_)(ip|ips|trusted_ips|allow|deny)$/, ['10.0.0.7', '10.0.0.0/8', '::1']],
  [/(^|_)paths?$/, ['/a', '/a/b', '/', '/%20', '~/a(b|c)$']],
  [/(^|_)(hosts?|snis?|server_name|domains?|hostname|tls_sni)$/, ['h.test', 'a.b.test']],
  [/(header|headers|header_name|remove|hide_.*)$/, ['x-a', 'X-Kong-B']],
  [/(add|append|replace|rename)$/, ['x-a:b', 'x-b:c']],
  [/^methods?$/, ['GET', 'POST']],
  [/(regex|pattern)/, ['^a+$', 'b']],
  [/^(prefix)$/, ['env-a', 'env-b']],
  [/^tags$/, ['a', 'b', 'team one']],
  [/^(name|username|instance_name|group)$/, ['n1', 'n2', 'n3', 'n4', 'Ä€', 'n-5.x_~']],
  [/cookie/, ['a', 'sid']],
  [/(email)/, ['a@b.test']],
];

/** What no field wants, or only the right one does. */
const SCALARS: readonly JsonValue[] = [
  null,
  true,
  false,
  0,
  1,
  -1,
  1.5,
  65_536,
  2_147_483_648,
  9_007_199_254_740_991,
  1e300,
  -1e300,
  5e-324,
  ...(
    'x é \u{1f600} \u202e \ud800 a\udfff \u0000 a\u0000b __proto__ constructor $1 {{x}} %00 % true 1 -1 ' +
    '~/a( ~/(a*)*b ~*( *.a.* // /a/../b {vault://env/x} http://[::1 http://u:p@h.test:99999 256.1.1.1 ' +
    '10.0.0.0/99 key-auth local 00000000-0000-0000-0000-000000000000 FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'
  ).split(' '),
  '',
  ' ',
  "'; DROP TABLE services; --",
  '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
  'a'.repeat(3000),
  'b'.repeat(70_000),
];

/** Stands in a value for JSON text that `JSON.stringify` would not write. */
const RAW = '\u{e000}';
const RAW_TEXTS = [
  '1e400',
  '-1e999',
  '9007199254740993',
  '-0',
  '1E-999',
  '0.1e1',
  '123456789'.repeat(40),
];
const RAW_QUOTED = new RegExp(`"${RAW}([^"]*)"`, 'g');

/** JSON text of a value that was made here. */
export function toJson(value: JsonValue): string {
  return JSON.stringify(value).replaceAll(RAW_QUOTED, '$1');
}

/** What is known of entities that are there. */
export interface Known {
  /** Ids of the kind that this foreign field points to; null when it is none or there are none. */
  idFor(field: string): string | null;
}

export class Samples {
  readonly random: SeededRandom;
  readonly #document: JsonObject;
  readonly #known: Known;

  constructor(random: SeededRandom, document: JsonObject, known: Known) {
    this.random = random;
    this.#document = document;
    this.#known = known;
  }

  pick<T>(items: readonly T[]): T {
    // Never called with none.
    return items[this.random.below(items.length)] as T;
  }

  resolve(schema: JsonObject): JsonObject {
    const ref = schema['$ref'];
    if (typeof ref !== 'string') return schema;
    let value: JsonValue = this.#document;
    for (const name of ref.slice(2).split('/')) value = (value as JsonObject)[name] ?? {};
    return this.resolve(value as JsonObject);
  }

  /** @param name  of the field that the value is for */
  valid(given: JsonObject, name = '', depth = 0): JsonValue {
    const schema = this.resolve(given);
    const { type, oneOf, anyOf, enum: values, const: only } = schema;
    if (only !== undefined) return only;
    if (Array.isArray(values)) return this.pick(values as readonly JsonValue[]);
    const types = (Array.isArray(type) ? type : [type]) as readonly unknown[];
    if (types.includes('null') && (types.length === 1 || this.random.chance(0.1))) return null;
    const choices = (oneOf ?? (type === undefined ? anyOf : undefined)) as readonly JsonObject[];
    if (choices !== undefined) return this.valid(this.pick(choices), name, depth);
    switch (types.find((one) => one !== 'null')) {
      case 'object':
        return this.#object(schema, name, depth);
      case 'array':
        return this.#array(schema, name, depth);
      case 'string':
        return this.#text(schema, name);
      case 'integer':
      case 'number':
        return this.#number(schema);
      case 'boolean':
        return this.random.chance(0.5);
      default:
        return this.pick([{ a: 1 }, 'x', 1, [1]]);
    }
  }

  #object(schema: JsonObject, name: string, depth: number): JsonValue {
    const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonObject>>;
    const known = Object.hasOwn(properties, 'id') && depth > 0 ? this.#known.idFor(name) : null;
    if (known !== null && this.random.chance(0.9)) return { id: known };
    const group = Array.isArray(schema['anyOf']) ? this.pick(schema['anyOf'] as JsonObject[]) : {};
    const needed = [schema['required'], group['required'], this.#oneNeeded(schema)].flat();
    const required = new Set<unknown>(needed);
    const wanted = depth >= DEPTH_MAX ? 0 : this.pick([0, 0.1, 0.3, 0.9]);
    const entries: [string, JsonValue][] = [];
    for (const [key, member] of Object.entries(properties)) {
      // Generated, and of no interest but rarely.
      const isOwn = /^(id|created_at|updated_at)$/.test(key) && depth === 0;
      const chance = member['deprecated'] === true || isOwn ? wanted / 20 : wanted;
      const isTold = /Needed, unless/.test(String(member['description']));
      const isForeign = depth === 0 && this.#known.idFor(key) !== null;
      const more = isTold ? 0.9 : isForeign ? 0.3 : 0;
      if (!required.has(key) && !this.random.chance(Math.max(chance, more))) continue;
      entries.push([key, this.valid(member, key, depth + 1)]);
    }
    const more = schema['additionalProperties'];
    if (typeof more === 'object' && more !== null) {
      for (let count = this.random.below(3); count > 0; count--) {
        const key = this.valid((schema['propertyNames'] ?? {}) as JsonObject, 'header', depth + 1);
        const text = typeof key === 'string' ? key : this.pick(['x-a', 'b', 'c d']);
        entries.push([text, this.valid(more as JsonObject, name, depth + 1)]);
      }
    }
    return Object.fromEntries(entries);
  }

  /** One of the members of which the description says that one must be there. */
  #oneNeeded(schema: JsonObject): string[] {
    const told = /(?:At least|Exactly) one of ((?:`[\w.]+`(?:, )?)+)/.exec(
      String(schema['description']),
    );
    const names = [...(told?.[1] ?? '').matchAll(/`(\w+)[^`]*`/g)].map(([, name]) => name ?? '');
    return names.length === 0 ? [] : [this.pick(names)];
  }

  #array(schema: JsonObject, name: string, depth: number): JsonValue {
    const least = Number(schema['minItems'] ?? 0);
    const most = Math.min(Number(schema['maxItems'] ?? 3), least + 3);
    const length = least + this.random.below(most - least + 1);
    const items = Array.from({ length }, () => {
      return this.valid((schema['items'] ?? {}) as JsonObject, name, depth + 1);
    });
    if (schema['uniqueItems'] !== true) return items;
    return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
  }

  #text(schema: JsonObject, name: string): string {
    if (schema['format'] === 'uuid') return this.#known.idFor(name) ?? this.random.uuid();
    const hint = HINTS.find(([pattern]) => pattern.test(name));
    if (hint !== undefined) {
      const unique = /unique/i.test(String(schema['description'])) && this.random.chance(0.5);
      return unique ? `n-${this.random.below(1_000_000)}` : this.pick(hint[1]);
    }
    const letters = ['a', 'b7', 'Z_z', 'text', 'é€😀', `u${this.random.below(1e9)}`];
    const least = Number(schema['minLength'] ?? 0);
    const most = Number(schema['maxLength'] ?? 1000);
    return this.pick(letters).padEnd(least, 'x').slice(0, most);
  }

  #number(schema: JsonObject): number {
    const above = schema['exclusiveMinimum'];
    const least = Number(schema['minimum'] ?? (above === undefined ? 0 : Number(above) + 1));
    const most = Number(schema['maximum'] ?? least + 1000);
    return this.pick([least, most, least + this.random.below(Math.min(most - least, 1e6) + 1)]);
  }

  /** The value with one place broken. */
  broken(value: JsonValue): JsonValue {
    const isInner = typeof value === 'object' && value !== null && this.random.chance(0.75);
    if (!isInner) return this.hostile();
    if (Array.isArray(value)) {
      const items = [...(value as readonly JsonValue[])];
      const at = this.random.below(items.length + 1);
      if (at < items.length) items[at] = this.broken(items[at] ?? null);
      else items.push(items[0] ?? this.hostile());
      return items;
    }
    const entries = Object.entries(value);
    if (entries.length === 0 || this.random.chance(0.2)) {
      const name = this.pick([
        '__proto__',
        'constructor',
        'unknown',
        '',
        'a.b',
        'id',
        '@entity',
        '\ud800',
      ]);
      return Object.fromEntries([...entries, [name, this.hostile()]]);
    }
    const at = this.random.below(entries.length);
    if (this.random.chance(0.1)) return Object.fromEntries(entries.toSpliced(at, 1));
    return Object.fromEntries(
      entries.map(([name, member], index) => [name, index === at ? this.broken(member) : member]),
    );
  }

  hostile(): JsonValue {
    const kind = this.random.next();
    if (kind < 0.75) return this.pick(SCALARS);
    if (kind < 0.85) return RAW + this.pick(RAW_TEXTS);
    if (kind < 0.88) return Array.from({ length: 1500 }, (_, index) => `i${index}`);
    if (kind < 0.9) return Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, i]));
    if (kind < 0.92) return this.nested(this.pick([40, 70, 200]));
    return this.pick<JsonValue>([
      {},
      [],
      [null],
      [[]],
      { id: null },
      { id: 'x' },
      { name: 'none' },
      [{}],
    ]);
  }

  nested(depth: number): JsonValue {
    let value: JsonValue = 1;
    for (let i = 0; i < depth; i++) value = i % 2 === 0 ? { a: value } : [value];
    return value;
  }
}
