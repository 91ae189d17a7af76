/**
 * Requests by an OpenAPI document: for every operation ones that should pass and ones that are broken
 * somewhere, with entities that earlier ones made.
 */
import { gzipSync } from 'node:zlib';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { Samples, toJson } from './schema-samples.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface FuzzOperation {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly JsonObject[];
  readonly docs: JsonObject;
}

export interface FuzzRequest {
  readonly operation: FuzzOperation;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | undefined;
  /** Nothing was broken on purpose, so the answer must be one that is documented. */
  readonly isPlain: boolean;
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const KNOWN_MAX = 200;

/** Of a path, without a space. */
const SEGMENTS = (
  "x __proto__ constructor %00 %ff % %2e%2e .. %2F %25 a%20b - %E2%82%AC * ' :0 {id} %F0%9F%98%80 all " +
  `h.test:80 %5B::1%5D $ ; | ~ validate %ED%A0%80 ${'a'.repeat(3000)} ` +
  '00000000-0000-0000-0000-000000000000'
).split(' ');
const QUERIES = (
  'size=0 size=NaN size=1e400 size=-1 size=1001 size=5&size=x size= size[]=1 offset= offset=%00 ' +
  `offset=WyJ4Il0 offset=e30 offset=${'A'.repeat(4000)} tags=%00 tags=%ff tags=' tags=a,b/c tags= tags=, ` +
  'custom_id=%00 custom_id= dry_run=x dry_run=true &&& = % __proto__=1 timeout=-1 timeout=x ' +
  'balancer_health=1'
).split(' ');
const TYPES = [
  'text/plain',
  'json',
  '',
  'image/png',
  'application/json; charset=utf-16',
  'application/x-www-form-urlencoded; charset=x',
  'multipart/form-data',
  'multipart/form-data; boundary=',
];

export class ApiFuzz {
  readonly operations: readonly FuzzOperation[];
  readonly #random: SeededRandom;
  readonly #samples: Samples;
  /** Foreign field → the kind that it points to. */
  readonly #references = new Map<string, string>();
  readonly #kinds: ReadonlySet<string>;
  readonly #ids = new Map<string, string[]>();
  readonly #names = new Map<string, string[]>();
  readonly #tags: string[] = ['"none"'];

  constructor(random: SeededRandom, document: JsonObject, registry: Registry) {
    this.#random = random;
    this.operations = operationsOf(document);
    this.#kinds = new Set(registry.entities.keys());
    for (const { fields } of registry.entities.values()) {
      for (const [name, field] of Object.entries(fields)) {
        if (field.type === 'foreign') this.#references.set(name, field.reference);
      }
      this.#references.set('ca_certificates', 'ca_certificates');
    }
    this.#samples = new Samples(random, document, {
      idFor: (field) => this.#known(this.#ids, this.#references.get(field) ?? ''),
    });
  }

  next(): FuzzRequest {
    const operation = this.#operation();
    const place = this.#path(operation);
    const query = this.#query(operation);
    const sent = this.#body(operation);
    const headers = this.#headers(operation);
    if (this.#random.chance(0.03)) {
      const method = this.#samples.pick(['HEAD', 'OPTIONS', 'PROPFIND']);
      const path = place.path + query.text;
      return { operation, method, path, headers: {}, body: undefined, isPlain: false };
    }
    return {
      operation,
      method: operation.method.toUpperCase(),
      path: place.path + query.text,
      headers: { ...headers.headers, ...sent.headers },
      body: sent.body,
      isPlain: place.isPlain && query.isPlain && headers.isPlain && sent.isPlain,
    };
  }

  /** Remembers what an answer says is there now. */
  learn(request: FuzzRequest, status: number, body: JsonObject, tag: string | null): void {
    if (tag !== null && this.#tags.length < KNOWN_MAX) this.#tags.push(tag);
    const kind = answerKind(request.operation.docs, status);
    if (kind === null) return;
    remember(this.#ids, kind, body['id']);
    for (const name of ['name', 'username', 'instance_name', 'target', 'key', 'prefix']) {
      remember(this.#names, kind, body[name]);
    }
  }

  #known(table: ReadonlyMap<string, readonly string[]>, kind: string): string | null {
    const list = table.get(kind);
    return list === undefined ? null : this.#samples.pick(list);
  }

  #operation(): FuzzOperation {
    const tries = Array.from({ length: 4 }, () => this.#samples.pick(this.operations));
    const useful = this.#random.chance(0.8) ? tries.filter((one) => this.#isReachable(one)) : tries;
    // What makes entities, so that there are some; what removes them, less often.
    return useful.find(({ method }) => method === 'post') ?? useful[0] ?? this.#operation();
  }

  /** Whether something is known for each parameter of its path that an entity stands for. */
  #isReachable({ parameters }: FuzzOperation): boolean {
    return parameters.every(({ name }) => {
      const kind = String(name);
      return !this.#kinds.has(kind) || this.#ids.has(kind);
    });
  }

  #path({ path, parameters }: FuzzOperation): { path: string; isPlain: boolean } {
    let isPlain = true;
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      const table = this.#random.chance(0.7) ? this.#ids : this.#names;
      const known = this.#known(table, name);
      if (known !== null && this.#random.chance(0.9))
        return encodeURIComponent(known.slice(0, 500));
      if (this.#random.chance(0.3)) {
        const facts = parameters.find((parameter) => parameter['name'] === name);
        const text = this.#samples.valid((facts?.['schema'] ?? {}) as JsonObject, 'name');
        return encodeURIComponent(String(text).toWellFormed());
      }
      isPlain = false;
      return this.#samples.pick(SEGMENTS);
    });
    if (this.#random.chance(0.95)) return { path: filled, isPlain };
    const prefix = this.#samples.pick([
      '/default',
      '/n1',
      '/n-5.x_~',
      '/none',
      '/%',
      '/workspaces',
    ]);
    return { path: prefix + filled, isPlain: false };
  }

  #query({ docs }: FuzzOperation): { text: string; isPlain: boolean } {
    if (this.#random.chance(0.04))
      return { text: `?${this.#samples.pick(QUERIES)}`, isPlain: false };
    const pairs: [string, string][] = [];
    for (const parameter of this.#declared(docs, 'query')) {
      if (!this.#random.chance(0.1)) continue;
      const value = this.#samples.valid(parameter['schema'] as JsonObject, 'tags');
      pairs.push([String(parameter['name']), String(value)]);
    }
    return { text: pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`, isPlain: true };
  }

  #headers({ docs }: FuzzOperation): { headers: Record<string, string>; isPlain: boolean } {
    const headers: Record<string, string> = {};
    for (const parameter of this.#declared(docs, 'header')) {
      const name = String(parameter['name']).toLowerCase();
      if (!this.#random.chance(0.06)) continue;
      const isTag = name.startsWith('if-');
      headers[name] = isTag ? this.#samples.pick([...this.#tags, '*', 'W/"x"', ',']) : this.#key();
    }
    if (this.#random.chance(0.98)) return { headers, isPlain: true };
    const odd = this.#samples.pick(['gzip', 'br', 'identity', 'x']);
    return { headers: { ...headers, 'content-encoding': odd }, isPlain: false };
  }

  #key(): string {
    return this.#samples.pick(['k1', 'k2', 'x'.repeat(300), this.#random.uuid()]);
  }

  #declared(docs: JsonObject, place: string): JsonObject[] {
    return ((docs['parameters'] ?? []) as readonly JsonObject[])
      .map((parameter) => this.#samples.resolve(parameter))
      .filter((parameter) => parameter['in'] === place);
  }

  #body({ method, docs }: FuzzOperation): Sent {
    const request = docs['requestBody'] as JsonObject | undefined;
    if (request === undefined) {
      const hasBody = method !== 'get' && this.#random.chance(0.1);
      return hasBody ? json('{"a":1}', true) : { body: undefined, headers: {}, isPlain: true };
    }
    const content = request['content'] as Readonly<Record<string, JsonObject>>;
    const media = content['application/json'] ?? Object.values(content)[0] ?? {};
    const schema = (media['schema'] ?? {}) as JsonObject;
    const example = media['example'];
    const isExample = example !== undefined && this.#random.chance(0.2);
    const value = isExample ? example : this.#samples.valid(schema);
    const kind = this.#random.next();
    if (kind < 0.45) return json(toJson(value), true);
    const broken = this.#samples.broken(value);
    if (kind < 0.8) return json(toJson(broken), false);
    if (kind < 0.9) return this.#form(this.#random.chance(0.5) ? value : broken);
    return this.#noJson(toJson(value));
  }

  #form(value: JsonValue): Sent {
    const pairs = [...pairsOf(value, '')].slice(0, 1200);
    if (this.#random.chance(0.3)) {
      const odd = [
        'a[',
        ']',
        '[]',
        '__proto__[x]',
        'a[b][c].d',
        'a'.repeat(500),
        `${'a.'.repeat(40)}b`,
      ];
      pairs.push([this.#samples.pick(odd), 'x']);
    }
    if (this.#random.chance(0.7)) {
      const text = new URLSearchParams(
        pairs.map(([name, given]): [string, string] => [name, given.toWellFormed()]),
      );
      const body = this.#random.chance(0.9) ? String(text) : `${text}&a=%zz`;
      const type = 'application/x-www-form-urlencoded';
      return { body, headers: { 'content-type': type }, isPlain: false };
    }
    const parts = pairs.map(
      ([name, text]) =>
        `--b\r\nContent-Disposition: form-data; name="${name}"\r\n${this.#samples.pick(['', 'Content-Type: application/json\r\n'])}\r\n${text}\r\n`,
    );
    const body = `${parts.join('')}${this.#samples.pick(['--b--\r\n', '', '--c--'])}`;
    return { body, headers: { 'content-type': 'multipart/form-data; boundary=b' }, isPlain: false };
  }

  /** Cut, with a wrong letter, not UTF-8, too deep, compressed, or called something else. */
  #noJson(text: string): Sent {
    const at = this.#random.below(text.length + 1);
    const bytes = Buffer.from(text);
    switch (this.#random.below(8)) {
      case 0:
        return json(text.slice(0, at), false);
      case 1:
        return json(
          text.slice(0, at) + String.fromCharCode(this.#random.below(256)) + text.slice(at),
          false,
        );
      case 2:
        bytes[Math.min(at, bytes.length - 1)] = this.#samples.pick([0xff, 0xc0, 0x80, 0xed]);
        return json(new Uint8Array(bytes), false);
      case 3:
        return json(`{"tags":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, false);
      case 4:
        return json(`{"config":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`, false);
      case 5:
        return {
          body: new Uint8Array(gzipSync(this.#random.chance(0.1) ? 'a'.repeat(5_000_000) : text)),
          headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
          isPlain: false,
        };
      case 6:
        return json(
          this.#samples.pick(['[]', 'null', '1', '"x"', '', '{', '\ufeff{}', '{"a":1,"a":2}']),
          false,
        );
      default:
        return {
          body: text,
          headers: { 'content-type': this.#samples.pick(TYPES) },
          isPlain: false,
        };
    }
  }
}

interface Sent {
  readonly body: string | Uint8Array<ArrayBuffer> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly isPlain: boolean;
}

function json(body: string | Uint8Array<ArrayBuffer>, isPlain: boolean): Sent {
  return { body, headers: { 'content-type': 'application/json' }, isPlain };
}

function operationsOf(document: JsonObject): FuzzOperation[] {
  return Object.entries(document['paths'] as Readonly<Record<string, JsonObject>>).flatMap(
    ([path, item]) =>
      METHODS.filter((method) => Object.hasOwn(item, method)).map((method) => ({
        method,
        path,
        parameters: (item['parameters'] ?? []) as readonly JsonObject[],
        docs: item[method] as JsonObject,
      })),
  );
}

/** Kind of the entity that an answer holds, by the document; null when it holds none. */
export function answerKind(docs: JsonObject, status: number): string | null {
  const answer = (docs['responses'] as JsonObject)[String(status)] as JsonObject | undefined;
  const content = answer?.['content'] as Readonly<Record<string, JsonObject>> | undefined;
  const schema = content?.['application/json']?.['schema'] as JsonObject | undefined;
  const ref = schema?.['$ref'];
  return typeof ref === 'string' ? (ref.split('/').at(-1) ?? null) : null;
}

function remember(table: Map<string, string[]>, kind: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') return;
  const list = table.get(kind) ?? [];
  table.set(kind, list);
  list.push(value);
  if (list.length > KNOWN_MAX) list.shift();
}

/** A value as the arguments of a form, in Kong's notation. */
function* pairsOf(value: JsonValue, name: string): Generator<[string, string]> {
  if (Array.isArray(value)) {
    for (const item of value as readonly JsonValue[]) yield* pairsOf(item, `${name}[]`);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      yield* pairsOf(member, name === '' ? key : `${name}.${key}`);
    }
  } else yield [name, value === null ? '' : String(value)];
}
