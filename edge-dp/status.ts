/** The data plane's own endpoints, under a reserved path prefix beside the traffic. */
import { json, Router, type IRequest } from 'itty-router';
import { utf8 } from '#shared/base/bytes.ts';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import {
  EXPLAIN_BYTES_MAX,
  explainQuery,
  type ExplainRequest,
  parseExplainRequest,
} from '#shared/proxy/explain-request.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { violationMessage } from '#shared/schema/violations.ts';

export interface StatusOptions {
  readonly prefix: string;
  /** Null: `/status` and `/explain` are not there. */
  readonly token: string | null;
  readonly crypto: Crypto;
  /** Why it should get no traffic; null: it may. */
  notReady(): string | null;
  explain(asked: ExplainRequest): JsonObject;
  details(): Promise<JsonObject>;
}

/** Answers every request under the prefix; null for one that is none of ours. */
export function createStatus(
  options: StatusOptions,
): (request: Request) => Promise<Response> | null {
  const router = Router({ base: options.prefix });
  router.get('/status/ready', () => ready(options.notReady()));
  router.get('/status', (request) => status(request, options));
  router.get('/explain', (request) => answerExplain(request, options));
  router.post('/explain', (request) => answerExplain(request, options));
  router.all('*', notFound);
  const inside = `${options.prefix}/`;
  return (request) => {
    const path = new URL(request.url).pathname;
    return path.startsWith(inside) ? router.fetch(request) : null;
  };
}

function ready(reason: string | null): Response {
  return reason === null ? json({ message: 'ready' }) : json({ message: reason }, { status: 503 });
}

async function status(request: IRequest, options: StatusOptions): Promise<Response> {
  return (
    refusal(request, options) ?? json({ version: HEADGATE_VERSION, ...(await options.details()) })
  );
}

/** As on the status port of a Node data plane: GET with a query, or POST with JSON. */
async function answerExplain(request: IRequest, options: StatusOptions): Promise<Response> {
  const refused = refusal(request, options);
  if (refused !== null) return refused;
  const asked =
    request.method === 'GET'
      ? explainQuery(new URL(request.url).searchParams)
      : await bodyOf(request);
  if (asked === null) {
    const message = `expected JSON of at most ${EXPLAIN_BYTES_MAX} bytes`;
    return json({ message }, { status: 400 });
  }
  const parsed = parseExplainRequest(asked);
  if (parsed.ok) return json(options.explain(parsed.value));
  const { violations } = parsed;
  return json({ message: violationMessage(violations), fields: violations }, { status: 400 });
}

/** Null: the token is the one that was set. */
function refusal(request: IRequest, options: StatusOptions): Response | null {
  if (options.token === null) return notFound();
  const given = /^Bearer (\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1] ?? '';
  if (sameText(given, options.token, options.crypto)) return null;
  return json(
    { message: 'Unauthorized' },
    { status: 401, headers: { 'www-authenticate': 'Bearer' } },
  );
}

/** Null: too long, or no JSON. The platform has bounded the body, and the sender has the token. */
async function bodyOf(request: IRequest): Promise<JsonValue | null> {
  const text = await request.text();
  if (text.length > EXPLAIN_BYTES_MAX) return null;
  try {
    // What `JSON.parse` answers is JSON.
    return JSON.parse(text) as JsonValue;
  } catch {
    return null;
  }
}

/** Compared by digest: the comparison's time then says nothing about the token's length either. */
function sameText(a: string, b: string, crypto: Crypto): boolean {
  return crypto.timingSafeEqual(crypto.sha256(utf8(a)), crypto.sha256(utf8(b)));
}

function notFound(): Response {
  return json({ message: 'Not found' }, { status: 404 });
}
