/** Kongs that Headgate itself cannot play: other releases and editions, and servers that are none. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { AdminApi, ANSWER_BYTES_MAX } from './admin-client.ts';
import { assess } from './assess.ts';
import { PAGES_MAX, readAdmin } from './read-admin.ts';
import { DEPS } from './transfer.suite.ts';

type Answers = Readonly<Record<string, JsonValue | { readonly status: number; body: JsonValue }>>;

let server: Server | null = null;
let asked: string[] = [];
afterEach(() => {
  server?.close();
  server = null;
});

const EMPTY: JsonObject = { data: [], next: null };

/** Answers by path and query; the size that is asked for is left out. What is not named is 404. */
async function kong(answers: Answers, version = '3.9.1'): Promise<AdminApi> {
  asked = [];
  const all: Answers = {
    '/': { version, configuration: {} },
    '/services': EMPTY,
    '/routes': EMPTY,
    '/consumers': EMPTY,
    '/plugins': EMPTY,
    '/upstreams': EMPTY,
    ...answers,
  };
  const listening = createServer((request, response) => {
    const path = (request.url ?? '').replace(/\?size=1000&?/, '?').replace(/\?$/, '');
    asked.push(`${path} ${String(request.headers['kong-admin-token'])}`);
    const answer = all[path] ?? { status: 404, body: { message: 'Not found' } };
    const isWhole = typeof answer === 'object' && answer !== null && 'status' in answer;
    response.statusCode = isWhole ? Number(answer['status']) : 200;
    const body = isWhole && 'body' in answer ? answer['body'] : answer;
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  // A TCP server that listens has one.
  const { port } = listening.address() as AddressInfo;
  const url = new URL(`http://127.0.0.1:${port}`);
  return new AdminApi({ url, headers: { 'Kong-Admin-Token': 'let-me-in' }, ca: null });
}

async function contentOf(answers: Answers, version?: string): Promise<JsonObject> {
  return (await readAdmin(await kong(answers, version), REGISTRY)).content;
}

describe('a running Kong', () => {
  it('is read page by page, targets with their upstreams, a token with every request', async () => {
    const content = await contentOf({
      '/services': { data: [{ id: 'a', name: 's1' }], offset: 'x==', next: '/services?offset=x' },
      '/services?offset=x%3D%3D': { data: [{ id: 'b', name: 's2' }], next: null },
      '/upstreams': { data: [{ id: 'u1' }, { id: 'u2' }], next: null },
      '/upstreams/u1/targets': { data: [{ id: 't1' }], next: null },
      '/upstreams/u2/targets': EMPTY,
    });
    expect(content).toEqual({
      _format_version: '3.0',
      services: [
        { id: 'a', name: 's1' },
        { id: 'b', name: 's2' },
      ],
      upstreams: [{ id: 'u1' }, { id: 'u2' }],
      targets: [{ id: 't1' }],
    });
    expect(asked.every((request) => request.endsWith(' let-me-in'))).toBe(true);
  });

  it('of an old release has paths of the old format', async () => {
    const routes = [{ id: '11111111-1111-4111-8111-111111111111', name: 'r', paths: ['/a/\\d+'] }];
    const source = await readAdmin(await kong({ '/routes': { data: routes } }, '2.8.3'), REGISTRY);
    const { verdicts } = await assess([source], DEPS);
    expect(verdicts).toMatchObject([{ kind: 'routes', outcome: 'changed' }]);
  });

  it('of another edition has more, which is told by name', async () => {
    const api = await kong(
      {
        '/endpoints': {
          data: ['/gadgets', '/gadgets/{gadgets}', '/services', '/status', '/x/{y}'],
        },
        '/gadgets': { data: [{ id: 'g', name: 'one' }], next: null },
        '/consumer_groups': { data: [{ id: 'c', name: 'gold' }], next: null },
        '/rbac/users': { status: 403, body: { message: 'no' } },
        '/filter-chains': { status: 400, body: { message: 'wasm is off' } },
      },
      '3.9.0.1-enterprise-edition',
    );
    const { verdicts } = await assess([await readAdmin(api, REGISTRY)], DEPS);
    expect(verdicts.map(({ kind, name, outcome }) => [kind, name, outcome])).toEqual([
      ['consumer_groups', "'gold'", 'not possible'],
      ['gadgets', "'one'", 'not possible'],
    ]);
    expect(asked.some((request) => request.startsWith('/x'))).toBe(false);
  });

  it('may write an empty list as an empty map', async () => {
    expect(await contentOf({ '/services': { data: {}, next: null } })).toEqual({
      _format_version: '3.0',
    });
  });

  it.each<[string, Answers, RegExp]>([
    ['says nothing of its version', { '/': {} }, /no Admin API of Kong: GET \/ names no version/],
    ['is no Admin API', { '/': 'hello' }, /GET \/ answered 200 hello/],
    ['refuses', { '/': { status: 401, body: { message: 'who?' } } }, /answered 401 who\?/],
    [
      'lacks what every Kong has',
      { '/routes': { status: 404, body: { message: 'Not found' } } },
      /GET \/routes answered 404 Not found/,
    ],
    [
      'hides what may be there',
      { '/key-auths': { status: 403, body: { message: 'forbidden' } } },
      /GET \/key-auths answered 403 forbidden/,
    ],
    [
      'fails in the middle',
      {
        '/services': { data: [], offset: 'a' },
        '/services?offset=a': { status: 500, body: { message: 'An unexpected error occurred' } },
      },
      /GET \/services answered 500 An unexpected/,
    ],
    [
      'repeats a page',
      { '/services': { data: [], offset: 'a' }, '/services?offset=a': { data: [], offset: 'a' } },
      /GET \/services repeats a page/,
    ],
    ['answers no list', { '/services': { data: [1] } }, /GET \/services answered 200/],
  ])('is refused when it %s', async (_, answers, message) => {
    await expect(contentOf(answers)).rejects.toThrow(message);
  });

  it(`is refused when a collection has more than ${PAGES_MAX} pages`, async () => {
    const pages = Array.from({ length: PAGES_MAX + 1 }, (_, i) => {
      return [i === 0 ? '/services' : `/services?offset=${i}`, { data: [], offset: `${i + 1}` }];
    });
    const message = /GET \/services has more than 1000 pages/;
    await expect(contentOf(Object.fromEntries(pages))).rejects.toThrow(message);
  });

  it(`is refused when an answer is longer than ${ANSWER_BYTES_MAX} bytes`, async () => {
    const answers = { '/services': 'x'.repeat(ANSWER_BYTES_MAX + 1) };
    await expect(contentOf(answers)).rejects.toThrow(/an answer of more than 134217728 bytes/);
  });

  it('is refused when nobody listens', async () => {
    const api = await kong({});
    const listening = must(server, 'it was started');
    await new Promise((resolve) => {
      listening.close(resolve);
      listening.closeAllConnections();
    });
    await expect(readAdmin(api, REGISTRY)).rejects.toThrow(
      /^http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/,
    );
  });
});
