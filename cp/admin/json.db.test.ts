/** JSON bodies against a public collection of documents that must, and must not, parse. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const FOLDER = fileURLToPath(
  new URL('../../../shared/corpora/json-test-suite/test_parsing', import.meta.url),
);
const BAD_JSON = { message: 'Cannot parse JSON body' };

let test: TestAdmin;
beforeAll(async () => {
  test = await openTestAdmin();
});
afterAll(() => test?.close());

/** Documents by the first letter of their name: `y` must parse, `n` must not, `i` may. */
function documents(letter: string): [name: string, bytes: Buffer][] {
  if (!existsSync(FOLDER)) {
    console.log(`not run: no JSONTestSuite in ${FOLDER}`);
    return [];
  }
  const names = readdirSync(FOLDER).filter((name) => name.startsWith(`${letter}_`));
  expect(names.length).toBeGreaterThan(10);
  return names.map((name) => [name, readFileSync(`${FOLDER}/${name}`)]);
}

describe('a body of JSON', () => {
  it('that is valid is read, if it is an object', async () => {
    for (const [name, bytes] of documents('y')) {
      const { status, body } = await test.call('POST', '/services', bytes);
      expect(status, name).toBe(400);
      const value: unknown = JSON.parse(bytes.toString('utf8'));
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
      if (isObject) expect(body, name).toMatchObject({ code: 2 });
      else expect(body, name).toEqual(BAD_JSON);
    }
  });

  it('that is not valid is refused', async () => {
    for (const [name, bytes] of documents('n')) {
      const { status, body } = await test.call('POST', '/services', bytes);
      expect(status, name).toBe(400);
      // No body at all is an empty object, as in Kong.
      if (bytes.length > 0) expect(body, name).toEqual(BAD_JSON);
    }
  });

  it('that is neither is refused in one way or another', async () => {
    for (const [name, bytes] of documents('i')) {
      expect((await test.call('POST', '/services', bytes)).status, name).toBe(400);
    }
  });
});
