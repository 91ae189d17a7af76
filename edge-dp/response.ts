/** The core's answer as a Worker's `Response`. */
import type { Body, BodyFilter } from '#shared/http/body.ts';
import type { GatewayResponse, Outcome } from '#shared/http/message.ts';
import { runFilters } from '#shared/proxy/body-filter.ts';
import { filtered, toReadable } from './web-body.ts';
import { WebTunnel } from './web-tunnel.ts';

const EMPTY = new Uint8Array(0);

/** Statuses whose message has no body; the constructor refuses one. */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * The exchange counts as over when the runtime has taken the body: whether its last byte arrived
 * is known only for a body that filters run over.
 */
export function toResponse(response: GatewayResponse): Response {
  const { body, status, filters, tunnel } = response;
  if (tunnel instanceof WebTunnel) return switched(response, tunnel);
  if (WITHOUT_BODY.has(status)) {
    discard(body);
    return finished(response, null, 0);
  }
  if (body === null || body instanceof Uint8Array) {
    if (filters.length === 0) return finished(response, body, body?.length ?? 0);
    const bytes = body === null ? null : runFilters(filters, body, true);
    return finished(response, bytes ?? (body === null ? null : EMPTY), bytes?.length ?? 0);
  }
  if (filters.length === 0) return finished(response, toReadable(body), body.length ?? 0);
  return new Response(throughFilters(toReadable(body), filters, response.onFinish), {
    status,
    headers: webHeaders(response, true),
  });
}

/** The runtime joins the two ends, and tells nobody when they part. */
function switched(response: GatewayResponse, { webSocket }: WebTunnel): Response {
  const headers = webHeaders(response, true);
  response.onFinish({ complete: true, bytesSent: 0 });
  return new Response(null, { status: response.status, headers, webSocket });
}

function finished(
  response: GatewayResponse,
  body: ReadableStream<Uint8Array> | Uint8Array | null,
  bytesSent: number,
): Response {
  const answer = new Response(body, {
    status: response.status,
    // A length is the runtime's to write, save where there is no body that it could measure (HEAD).
    headers: webHeaders(response, body instanceof Uint8Array),
  });
  response.onFinish({ complete: true, bytesSent });
  return answer;
}

function throughFilters(
  stream: ReadableStream<Uint8Array>,
  filters: readonly BodyFilter[],
  onFinish: (outcome: Outcome) => void,
): ReadableStream<Uint8Array> {
  return filtered(stream, (chunk, last) => runFilters(filters, chunk, last), onFinish);
}

/** Fields that frame the message on the wire are the runtime's. */
function webHeaders(response: GatewayResponse, dropLength: boolean): Headers {
  const headers = new Headers();
  const list = response.headers;
  for (let i = 0; i < list.size; i++) {
    const name = list.lowerNameAt(i);
    if (name === 'transfer-encoding' || name === 'connection' || name === 'keep-alive') continue;
    if (dropLength && name === 'content-length') continue;
    headers.append(list.nameAt(i), list.valueAt(i));
  }
  return headers;
}

function discard(body: Body): void {
  if (body !== null && !(body instanceof Uint8Array)) body.cancel();
}
