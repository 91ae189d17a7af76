import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { answerKind, ApiFuzz, type FuzzRequest } from '../../test/support/api-fuzz.ts';
import { type JsonSchemas, jsonSchemas } from '../../test/support/json-schemas.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

const REQUESTS = Number(process.env['REQUESTS'] ?? 3000);
/** Find all that is wrong instead of stopping at the first. */
const KEEP_GOING = process.env['KEEP_GOING'] === 'true';
const READS = new Set(['GET', 'HEAD', 'OPTIONS', 'PROPFIND']);
const REQUEST_MS_MAX = 2000;
/** What only our insides would say. */
const LEAKS =
  /\n\s+at |\/cp\/|node_modules|SQLSTATE|duplicate key value|syntax error at|relation "/;

let test: TestAdmin;
let document: JsonObject;
let schemas: JsonSchemas;
beforeAll(async () => {
  test = await openTestAdmin({ allowUnsupported: true });
  document = (await test.call('GET', '/openapi.json')).body;
  schemas = jsonSchemas(document);
});
afterAll(() => test?.close());

/** Versions and the number of rows of every table, but what the audit and a rotation write on their own. */
async function stateQuery(): Promise<string> {
  const { rows } = await test.store.db.query(
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('audit', 'cluster_keys')",
  );
  const counts = rows.map(({ tablename: name }) => `(SELECT count(*) FROM "${name}") AS "${name}"`);
  return `SELECT (SELECT sum(version) FROM workspace_versions) AS versions, ${counts.join()}`;
}

/** What is wrong with an answer, whatever was asked. */
function complaint(request: FuzzRequest, answer: Answer, ms: number): string | null {
  const { docs, method, path } = request.operation;
  const responses = docs['responses'] as JsonObject;
  const isMissing = Object.hasOwn(responses, '501') && !Object.hasOwn(responses, '200');
  if (answer.status >= 500 && !(isMissing && answer.status === 501)) return 'failed inside';
  if (ms > REQUEST_MS_MAX) return `took ${Math.round(ms)} ms`;
  if (LEAKS.test(answer.text)) return 'tells of its insides';
  if (!request.isPlain) return null;
  if (!Object.hasOwn(responses, String(answer.status))) {
    return `${method} ${path} is not documented to answer ${answer.status}`;
  }
  const kind = answerKind(docs, answer.status);
  if (kind === null || answer.text === '') return null;
  const name = kind === 'plugins' ? `plugins.${String(answer.body['name'])}` : kind;
  const errors = schemas.errors(name, answer.body);
  return errors === '' ? null : `not the documented ${kind}: ${errors}`;
}

describe('whatever is sent', () => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

  it(`nothing fails inside, and what is refused changes nothing (SEED=${seed})`, async () => {
    const fuzz = new ApiFuzz(new SeededRandom(seed), document, REGISTRY);
    const prototype = Object.getOwnPropertyNames(Object.prototype).toSorted();
    const statuses = new Map<number, number>();
    const reached = new Set<string>();
    const found = new Map<string, string>();
    let slowest = 0;
    const sql = await stateQuery();
    const state = async () => JSON.stringify((await test.store.db.query(sql)).rows);
    let before = await state();
    for (let index = 0; index < REQUESTS; index++) {
      const request = fuzz.next();
      const { method, path, headers, body } = request;
      const startedAt = performance.now();
      const answer = await test.call(method, path, body, headers);
      const ms = performance.now() - startedAt;
      slowest = Math.max(slowest, ms);
      const after = await state();
      const isRefused = answer.status >= 400 || READS.has(method);
      const wrote =
        isRefused && after !== before ? `wrote what it refused: ${before} ${after}` : null;
      const wrong = complaint(request, answer, ms) ?? wrote;
      if (wrong !== null) {
        const shown = typeof body === 'string' ? body.slice(0, 2000) : '';
        const what = `request ${index}: ${method} ${path.slice(0, 300)} ${JSON.stringify(headers)} ${shown}`;
        const text = `${wrong}\n${what}\n${answer.status} ${answer.text.slice(0, 1000)}\n${test.errors.at(-1) ?? ''}`;
        if (!KEEP_GOING) expect.fail(text);
        const key = `${wrong.replaceAll(/\d+/g, 'N').slice(0, 120)} ${method} ${request.operation.path}`;
        if (!found.has(key)) found.set(key, text);
      }
      before = after;
      fuzz.learn(request, answer.status, answer.body, answer.headers.get('etag'));
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status < 300) reached.add(`${method} ${request.operation.path}`);
    }
    const counts = Object.fromEntries([...statuses].toSorted(([a], [b]) => a - b));
    process.stdout.write(
      `${REQUESTS} requests to ${fuzz.operations.length} operations, ${reached.size} succeeded at; ` +
        `slowest ${Math.round(slowest)} ms; ${JSON.stringify(counts)}\n`,
    );
    if (found.size > 0) expect.fail([...found.values()].join('\n\n'));
    expect(Object.getOwnPropertyNames(Object.prototype).toSorted()).toEqual(prototype);
    // It must have got through, not only bounced off.
    for (const status of [200, 201, 204, 400, 404, 405, 415]) {
      expect(statuses.get(status) ?? 0, `${status} in ${JSON.stringify(counts)}`).not.toBe(0);
    }
  }, 600_000);
});
