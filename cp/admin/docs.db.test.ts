import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const TOKEN = 'a-token-of-enough-length';
const FILES = [
  ['/docs', 'text/html'],
  ['/docs/page.css', 'text/css'],
  ['/docs/page.js', 'text/javascript'],
] as const;

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin({ policy: { token: TOKEN, isLoopbackOpen: false } });
});
afterAll(() => admin?.close());

describe('the page that shows the document', () => {
  it.each(FILES)('opens %s without a token, for a browser has none', async (path, type) => {
    const { status, headers } = await admin.call('GET', path);
    expect([status, headers.get('content-type')]).toEqual([200, `${type}; charset=utf-8`]);
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self'/,
    );
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('opens nothing else', async () => {
    for (const [method, path] of [
      ['POST', '/docs'],
      ['GET', '/docs/'],
      ['GET', '/docs/page'],
      ['GET', '/default/docs'],
      ['GET', '/docs/../services'],
      ['GET', '/openapi.json'],
      ['GET', '/openapi.yaml'],
    ] as const) {
      expect([method, path, (await admin.call(method, path)).status]).toEqual([method, path, 401]);
    }
  });

  it('has no script or style of its own, and takes nothing from elsewhere', async () => {
    const { text } = await admin.call('GET', '/docs');
    expect(text).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:/);
    const links = [...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => `/${link}`);
    expect(links.toSorted()).toEqual(['/docs/page.css', '/docs/page.js', '/openapi.json']);
    const script = await admin.call('GET', '/docs/page.js');
    expect(script.text).not.toMatch(/innerHTML|outerHTML|insertAdjacent|document\.write|eval\(/);
  });
});

describe('the document', () => {
  it('is the same as YAML', async () => {
    const authorization = { authorization: `Bearer ${TOKEN}` };
    const json = await admin.call('GET', '/openapi.json', undefined, authorization);
    const yaml = await admin.call('GET', '/openapi.yaml', undefined, authorization);
    expect(yaml.headers.get('content-type')).toBe('application/yaml');
    expect(parse(yaml.text)).toEqual(json.body);
  });
});
