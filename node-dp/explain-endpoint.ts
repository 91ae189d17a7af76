/**
 * `/explain` on the status port: what would be done with a request. It tells of the configuration, so
 * it answers this machine only, wherever the port is open, and no web page that has found a name for it.
 */
import type { IncomingMessage } from 'node:http';
import { FORWARDING_FIELDS } from '#shared/http/forwarded.ts';
import { splitHost } from '#shared/http/host.ts';
import {
  EXPLAIN_BYTES_MAX,
  explainQuery,
  type ExplainRequest,
  parseExplainRequest,
} from '#shared/proxy/explain-request.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { violationMessage } from '#shared/schema/violations.ts';
import { isLoopback } from '#shared/settings/listen.ts';

export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

/** GET with a query, or POST with JSON. Never throws. */
export async function answerExplain(
  request: IncomingMessage,
  explain: (asked: ExplainRequest) => JsonObject,
): Promise<Answer> {
  if (!isFromHere(request)) return { status: 403, body: { message: 'Only this machine may ask' } };
  const { method, url = '' } = request;
  if (method !== 'GET' && method !== 'POST') {
    return { status: 405, body: { message: 'Method not allowed' } };
  }
  const asked = method === 'GET' ? queryOf(url) : await bodyOf(request);
  if (asked === null) {
    return {
      status: 400,
      body: { message: `expected JSON of at most ${EXPLAIN_BYTES_MAX} bytes` },
    };
  }
  const parsed = parseExplainRequest(asked);
  if (parsed.ok) return { status: 200, body: explain(parsed.value) };
  const { violations } = parsed;
  return { status: 400, body: { message: violationMessage(violations), fields: violations } };
}

/** Whoever is forwarded by a proxy on this machine, perhaps by ourselves, is not on this machine. */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  if (FORWARDING_FIELDS.some((name) => headers[name] !== undefined)) return false;
  const { name } = splitHost(headers.host ?? '');
  return isLoopback(socket.remoteAddress ?? '') && isLoopback(name.replace(/^\[|\]$/g, ''));
}

function queryOf(url: string): JsonObject {
  const from = url.indexOf('?');
  return explainQuery(new URLSearchParams(from < 0 ? '' : url.slice(from + 1)));
}

/** Null: too long, or no JSON. */
async function bodyOf(request: IncomingMessage): Promise<JsonValue | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request) {
      if (!(chunk instanceof Buffer)) return null;
      size += chunk.length;
      if (size > EXPLAIN_BYTES_MAX) return null;
      chunks.push(chunk);
    }
    // What `JSON.parse` answers is JSON.
    return JSON.parse(Buffer.concat(chunks).toString()) as JsonValue;
  } catch {
    return null;
  }
}
