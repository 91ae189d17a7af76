/** `/openapi.json` and `.yaml`: what the Admin API says of itself, and a page to read it. */
import { readFileSync } from 'node:fs';
import { yamlMembers } from '../../declarative/yaml-text.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AdminHandler, AdminResponse, Endpoint } from '../context.ts';
import { openapiDocument } from '../openapi/document.ts';

/** The page's files, by path. */
const PAGE: ReadonlyMap<string, readonly [file: string, type: string]> = new Map([
  ['/docs', ['page.html', 'text/html']],
  ['/docs/page.css', ['page.css', 'text/css']],
  ['/docs/page.js', ['page.js', 'text/javascript']],
]);

/** @param all  every endpoint, these included; asked for with the first request */
export function openapiEndpoints(all: () => readonly Endpoint[]): Endpoint[] {
  const texts = new Map<string, string>();
  const document = (type: string, write: (value: JsonObject) => string): AdminHandler => {
    return ({ registry }) => {
      const body = texts.get(type) ?? write(openapiDocument(all(), registry));
      texts.set(type, body);
      return { status: 200, body, headers: { 'Content-Type': type } };
    };
  };
  const json = document('application/json', (value) => JSON.stringify(value));
  const yaml = document('application/yaml', (value) => yamlMembers(value, 0).trimStart());
  return [
    { path: '/openapi.json', area: 'info', methods: { GET: json } },
    { path: '/openapi.yaml', area: 'info', methods: { GET: yaml } },
    ...[...PAGE].map(([path, [file, type]]): Endpoint => ({
      path,
      area: 'info',
      methods: { GET: () => pageFile(file, type) },
    })),
  ];
}

/**
 * Whether it is the page that is asked for, by whoever has no token. It is the same on every installation and holds nothing of
 * this one, and a browser that opens it has no token to send: the page asks for one, for the document.
 */
export function isPage(request: Request): boolean {
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  return isRead && PAGE.has(new URL(request.url).pathname);
}

/** Only our own files, nothing inline, nobody's frame. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";

function pageFile(name: string, type: string): AdminResponse {
  return {
    status: 200,
    body: readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8'),
    headers: {
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': 'no-cache',
    },
  };
}
