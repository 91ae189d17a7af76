/** Answers to what never becomes a request: Kong's texts, and the connection is closed. */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { SERVER_TOKEN } from '#shared/base/product.ts';
import type { Random } from '#shared/platform/platform.ts';
import { CONTENT_TYPES, errorFormat, errorText } from '#shared/http/error-response.ts';

/** Why a request is not let in. */
export interface Refusal {
  /** 494 is nginx' own, and sent as 400. */
  readonly status: 400 | 405 | 408 | 414 | 417 | 494 | 500 | 501 | 505;
  readonly reason: string;
}

/** nginx' own statuses and their texts as Kong words them; 494 is sent as 400. */
const TEXTS: Readonly<Record<number, string>> = {
  400: 'Bad request',
  405: 'Method not allowed',
  408: 'Request timeout',
  414: 'URI too long',
  417: 'Expectation failed',
  494: 'Request header or cookie too large',
  500: 'An unexpected error occurred',
  501: 'Not implemented',
  505: 'HTTP version not supported',
};

/** The body for a status, in the format that `Accept` asks for; plain text when there is none. */
export function refusalText(
  status: number,
  accept: string | null,
  requestId: string,
): { type: string; text: string } {
  const format = accept === null ? 'plain' : errorFormat([accept]);
  const message = TEXTS[status] ?? 'Bad request';
  return { type: CONTENT_TYPES[format], text: errorText(format, message, requestId) };
}

/** For what the gateway never sees. */
export function requestIdOf(random: Random): string {
  return random.uuid().replaceAll('-', '');
}

/** 494 is not for clients. */
export function sentStatus(status: number): number {
  return status === 494 ? 400 : status;
}

/** Straight to the socket, for want of a response object. */
export function writeRawRefusal(socket: Duplex, status: number, requestId: string): void {
  // A reset client has nothing to read with.
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { type, text } = refusalText(status, null, requestId);
  const sent = sentStatus(status);
  socket.end(
    [
      `HTTP/1.1 ${sent} ${STATUS_CODES[sent] ?? ''}`,
      `Date: ${new Date().toUTCString()}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(text)}`,
      'Connection: close',
      `Server: ${SERVER_TOKEN}`,
      `X-Kong-Request-Id: ${requestId}`,
      '',
      text,
    ].join('\r\n'),
  );
  // The client's side may stay open for ever, and the request with it.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}

/** How long a client may take to close what was refused. */
const LINGER_MS = 5000;
