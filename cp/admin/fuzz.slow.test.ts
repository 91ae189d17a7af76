import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const REQUESTS = Number(process.env['REQUESTS'] ?? 2500);
const REQUEST_MS_MAX = 2000;
const ENDPOINTS =
  '/services /services/KEY /routes /routes/KEY /consumers /consumers/KEY /plugins /plugins/KEY ' +
  '/upstreams /upstreams/KEY /key-auths /key-auths/KEY /services/KEY/routes /services/KEY/plugins ' +
  '/routes/KEY/plugins /routes/KEY/service /consumers/KEY/key-auth /consumers/KEY/plugins ' +
  '/plugins/KEY/route /upstreams/KEY/targets /upstreams/KEY/targets/KEY /key-auths/KEY/consumer ' +
  '/services/KEY/routes/KEY /clustering/join-tokens /clustering/data-planes/KEY /schemas/KEY ' +
  '/schemas/plugins/KEY / /status /KEY /KEY/KEY/KEY/KEY';
const METHODS = 'POST PUT PATCH POST PUT PATCH POST PUT PATCH GET DELETE OPTIONS HEAD PROPFIND';
const TYPES = [
  ...Array.from({ length: 12 }, () => 'application/json'),
  'application/x-www-form-urlencoded',
  'text/plain',
  'application/json; charset=x',
  'json',
  '',
];
/** Field names of everything, so that the hostile values get past "unknown field". */
const NAMES = [
  ...new Set([
    ...[...REGISTRY.entities.values(), ...REGISTRY.plugins.values()].flatMap(({ fields }) =>
      Object.keys(fields),
    ),
    ...'ttl minute redis add json active healthy ip port key_names url a.b @entity'.split(' '),
    ...'__proto__ constructor prototype toString hasOwnProperty'.split(' '),
    '',
  ]),
];
/** Requests that are fine, or are after others of them, so that not everything is refused. */
const FINE: readonly (readonly [method: string, path: string, members: string])[] = [
  ['POST', '/services', '"host":"h.test"'],
  ['PUT', '/services/fuzzed', '"host":"h.test"'],
  ['POST', '/routes', '"paths":["/a"]'],
  ['PUT', '/routes/fuzzed', '"paths":["/a"],"service":{"name":"fuzzed"}'],
  ['PUT', '/consumers/fuzzed', '"tags":["a","b"]'],
  ['PUT', '/upstreams/fuzzed', '"tags":null'],
  ['PATCH', '/upstreams/fuzzed', '"slots":100'],
  ['POST', '/upstreams/fuzzed/targets', '"target":"h.test:80"'],
  ['POST', '/services/fuzzed/plugins', '"name":"key-auth"'],
  ['PATCH', '/services/fuzzed', '"port":81'],
  ['POST', '/key-auths', '"consumer":{"username":"fuzzed"},"ttl":100'],
];
/** JSON texts. */
const SCALARS = [
  ...'null true false 0 -0 1 -1 80 1.5 65536 2147483648 9007199254740993 1e400 -1e400 5e-324 1E-999'.split(
    ' ',
  ),
  ...(
    'x http https tcp grpc key-auth rate-limiting correlation-id response-transformer local none ' +
    'round-robin header h.test /a /a/../b // ~/a( ~/(a*)*b ~/\\p{L}+ *.a.* *.test [::1]:80 :: é 😀 ' +
    "{vault://env/x} %00 % $1 {{x}} http://u:p@h.test:99999/x http://[::1 256.1.1.1 1 -1 ' ; -- " +
    '00000000-0000-0000-0000-000000000000 FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'
  )
    .split(' ')
    .map((text) => JSON.stringify(text)),
  ...['', ' ', '\u0000', 'a\u0000b', '\ud800', '\udfff\ud800', '\u202e', 'a'.repeat(3000)].map(
    (text) => JSON.stringify(text),
  ),
];
const SEGMENTS =
  "fuzzed fuzzed fuzzed x __proto__ constructor %00 %ff % %2e%2e .. %2F %25 a%20b %E2%82%AC - * ' " +
  `:0 {id} %F0%9F%98%80 targets all h.test:80 %5B::1%5D $ ; | ${'a'.repeat(5000)} ` +
  '00000000-0000-0000-0000-000000000000';
const QUERIES =
  "? ? ? ?size=0 ?size=NaN ?size=1e400 ?offset= ?offset=%00 ?tags=%00 ?tags=%ff ?tags=' " +
  '?tags=a,b/c ?custom_id=%00 ?offset=WyJ4Il0 ?size=5&size=x';
/** What only our insides would say. */
const LEAKS =
  /\n\s+at |\/cp\/|node_modules|SQLSTATE|duplicate key value|syntax error at|relation "/;

class Fuzz extends SeededRandom {
  pick<T>(items: readonly T[]): T {
    // Never empty.
    return items[this.below(items.length)] as T;
  }

  word(words: string): string {
    return this.pick(words.split(' '));
  }

  /** JSON text of an object; as text, so that it can have duplicate and odd keys. */
  object(depth: number): string {
    const members = Array.from({ length: this.below(7) }, () => {
      return `${JSON.stringify(this.pick(NAMES))}:${this.value(depth)}`;
    });
    return `{${members.join(',')}}`;
  }

  value(depth: number): string {
    const kind = this.next();
    if (depth === 0 || kind < 0.6) return this.pick(SCALARS);
    if (kind < 0.8) return this.object(depth - 1);
    return `[${Array.from({ length: this.below(5) }, () => this.value(depth - 1)).join(',')}]`;
  }

  body(): string {
    const text = this.object(4);
    if (this.chance(0.9)) return text;
    // Sometimes no JSON at all: cut, or with a letter changed.
    const at = this.below(text.length + 1);
    const letter = String.fromCharCode(this.below(256));
    return this.chance(0.5) ? text.slice(0, at) : text.slice(0, at) + letter + text.slice(at + 1);
  }

  request(): { method: string; path: string; body: string | undefined } {
    if (this.chance(0.3)) {
      const [method, path, members] = this.pick(FINE);
      const more = this.chance(0.5) ? this.object(3).slice(1, -1) : '';
      return { method, path, body: `{${members}${more === '' ? '' : `,${more}`}}` };
    }
    const method = this.word(METHODS);
    const hasBody = method !== 'GET' && method !== 'HEAD';
    return { method, path: this.path(), body: hasBody ? this.body() : undefined };
  }

  path(): string {
    const path = this.word(ENDPOINTS).replaceAll('KEY', () => this.word(SEGMENTS));
    return path + this.word(QUERIES);
  }
}

let test: TestAdmin;
beforeAll(async () => {
  test = await openTestAdmin();
});
afterAll(() => test?.close());

async function state(): Promise<string> {
  const { rows } = await test.store.db.query(
    'SELECT (SELECT sum(version) FROM workspace_versions) AS v, (SELECT count(*) FROM changes) AS c',
  );
  return JSON.stringify(rows);
}

describe('whatever is sent', () => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

  it(`nothing fails inside, and what is refused changes nothing (SEED=${seed})`, async () => {
    const fuzz = new Fuzz(seed);
    const prototype = Object.getOwnPropertyNames(Object.prototype).toSorted();
    const statuses = new Map<number, number>();
    let before = await state();
    for (let index = 0; index < REQUESTS; index++) {
      const { method, path, body } = fuzz.request();
      const type = fuzz.pick(TYPES);
      const what = `request ${index}: ${method} ${path.slice(0, 200)} ${type} ${body ?? ''}`;
      const startedAt = performance.now();
      const answer = await test.call(method, path, body, { 'content-type': type });
      expect(performance.now() - startedAt, what).toBeLessThan(REQUEST_MS_MAX);
      expect(answer.status, `${what} ${answer.text}`).toBeLessThan(500);
      expect(answer.text, what).not.toMatch(LEAKS);
      const after = await state();
      if (answer.status >= 400 || method === 'GET') expect(after, what).toBe(before);
      before = after;
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    }
    expect(Object.getOwnPropertyNames(Object.prototype).toSorted()).toEqual(prototype);
    // It must have got through, not only bounced off.
    for (const status of [200, 201, 204, 400, 404, 405, 415]) {
      expect(statuses.get(status) ?? 0, `${status} in ${JSON.stringify([...statuses])}`).not.toBe(
        0,
      );
    }
  }, 120_000);
});
