/** The response to an error of ours, in the format the client accepts. Templates are Kong's. */
import { utf8 } from '../base/bytes.ts';
import { HeaderList } from './headers.ts';
import type { GatewayResponse } from './message.ts';

export interface ErrorFacts {
  readonly status: number;
  readonly message: string;
  readonly requestId: string;
  /** Format of an answer to a request without Accept; by its Content-Type first. Null: JSON. */
  readonly serverDefault?: ErrorFormat | null;
}

export type ErrorFormat = 'json' | 'html' | 'plain' | 'xml';

export const CONTENT_TYPES: Readonly<Record<ErrorFormat, string>> = {
  json: 'application/json; charset=utf-8',
  html: 'text/html; charset=utf-8',
  plain: 'text/plain; charset=utf-8',
  xml: 'application/xml; charset=utf-8',
};

/** What a media type is answered with; others get JSON. */
const FORMATS: ReadonlyMap<string, ErrorFormat> = new Map([
  ['text/html', 'html'],
  ['text/plain', 'plain'],
  ['text/*', 'plain'],
  ['application/xml', 'xml'],
]);

/** Media ranges of an Accept header that are looked at. */
const ACCEPT_RANGES_MAX = 32;
const MEDIA_RANGE = /^(?:[a-z0-9][a-z0-9\-!#$&^_+.]*|\*)\/(?:[a-z0-9][a-z0-9\-!#$&^_+.]*|\*)$/;
const QUALITY = /^q\s*=\s*(1(?:\.0{0,3})?|0(?:\.\d{0,3})?)$/;

const GRPC_STATUS: ReadonlyMap<number, number> = new Map([
  [200, 0],
  [400, 3],
  [401, 16],
  [403, 7],
  [404, 5],
  [409, 10],
  [429, 8],
  [499, 1],
  [500, 2],
  [501, 12],
  [503, 14],
  [504, 4],
]);

const NO_FINISH = (): void => {};

/**
 * Makes the response to an error, in the format that the request asks for.
 *
 * A gRPC request gets an empty body, the text in `grpc-message` and the HTTP status as it is.
 * @param requestHeaders  as received: `Accept` and `Content-Type` decide
 * @param headers  added, and stronger than what would be set
 * Source: Kong `pdk/response.lua`, `tools/http.lua`
 */
export function errorResponse(
  requestHeaders: HeaderList,
  facts: ErrorFacts,
  headers: readonly (readonly [string, string])[] = [],
): GatewayResponse {
  const list = new HeaderList();
  let body: Uint8Array | null = null;
  if (isGrpc(requestHeaders)) {
    list.append('Content-Type', 'application/grpc');
    list.append('grpc-status', String(grpcStatus(facts.status)));
    list.append('grpc-message', encodeGrpcMessage(facts.message));
  } else {
    const format = formatFor(requestHeaders, facts.serverDefault ?? null);
    list.append('Content-Type', CONTENT_TYPES[format]);
    body = utf8(errorText(format, facts.message, facts.requestId));
  }
  for (const [name, value] of headers) list.set(name, value);
  return {
    status: facts.status,
    headers: list,
    body,
    tunnel: null,
    filters: [],
    onFinish: NO_FINISH,
  };
}

/** The format of a media type; JSON for one that has none. */
export function formatOfType(type: string): ErrorFormat {
  return FORMATS.get(type) ?? 'json';
}

/** Source: Kong `error_handlers.lua`. */
function formatFor(headers: HeaderList, serverDefault: ErrorFormat | null): ErrorFormat {
  const accept = headers.getAll('accept');
  if (accept.length > 0 || serverDefault === null) return errorFormat(accept);
  const contentType = headers.getAll('content-type');
  return contentType.length > 0 ? errorFormat(contentType) : serverDefault;
}

/** The format with the highest quality; the first of equals; JSON when nothing fits. */
export function errorFormat(accept: readonly string[]): ErrorFormat {
  if (accept.length === 0) return 'json';
  let best: ErrorFormat = 'json';
  let bestQuality = 0;
  for (const range of accept.join(',').split(',', ACCEPT_RANGES_MAX)) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (!MEDIA_RANGE.test(type)) continue;
    const quality = qualityOf(parameters);
    if (quality <= bestQuality) continue;
    bestQuality = quality;
    best = FORMATS.get(type) ?? 'json';
  }
  return best;
}

/** The body's text. Values are escaped for the format they stand in. */
export function errorText(format: ErrorFormat, message: string, requestId: string): string {
  switch (format) {
    case 'json': {
      const fields = `"message":${JSON.stringify(message)},\n  "request_id":"${requestId}"`;
      return `{\n  ${fields}\n}`;
    }
    case 'html':
      return htmlText(escapeMarkup(message), requestId);
    case 'plain':
      return `${message}\nrequest_id: ${requestId}\n`;
    case 'xml':
      return [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<error>',
        `  <message>${escapeMarkup(message)}</message>`,
        `  <requestid>${requestId}</requestid>`,
        '</error>\n',
      ].join('\n');
  }
}

/** The gRPC status for an HTTP status of ours; by class where there is no closer one. */
export function grpcStatus(status: number): number {
  const known = GRPC_STATUS.get(status);
  if (known !== undefined) return known;
  if (status >= 500) return 13;
  return status >= 400 ? 9 : 2;
}

function htmlText(message: string, requestId: string): string {
  return [
    '<!doctype html>',
    '<html>',
    '  <head>',
    '    <meta charset="utf-8">',
    '    <title>Error</title>',
    '  </head>',
    '  <body>',
    '    <h1>Error</h1>',
    `    <p>${message}.</p>`,
    `    <p>request_id: ${requestId}</p>`,
    '  </body>',
    '</html>\n',
  ].join('\n');
}

function isGrpc(requestHeaders: HeaderList): boolean {
  return requestHeaders.get('content-type')?.startsWith('application/grpc') ?? false;
}

function qualityOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const match = QUALITY.exec(parameter);
    if (match !== null) return Number(match[1]);
  }
  return 1;
}

function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Percent-encoding of everything but printable ASCII. Source: gRPC over HTTP/2, Status-Message. */
function encodeGrpcMessage(message: string): string {
  return message.replace(/[^ -$&-~]+/gu, encodeURIComponent);
}
