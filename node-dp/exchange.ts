/** One request and its response on an undici connection. Answers once, with a head or an error. */
import { createHash } from 'node:crypto';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { HeaderList } from '#shared/http/headers.ts';
import type { BodyMemory } from '#shared/http/body-memory.ts';
import type { Body } from '#shared/http/body.ts';
import { ACCEPT_GUID, acceptanceProblem } from '#shared/http/websocket.ts';
import {
  UpstreamError,
  type UpstreamFailure,
  type UpstreamRequest,
  type UpstreamResponse,
} from '#shared/platform/platform.ts';
import { Download, type Flow } from './download.ts';
import { SocketTunnel } from './tunnel.ts';
import { WriteStalledError } from './upload.ts';

type Controller = Dispatcher.DispatchController;

/** Interim responses (1xx) before the one that counts. */
const INTERIM_MAX = 32;

/** The response as handed out: the body may still turn from a stream into bytes, see `settleBody`. */
interface Head extends UpstreamResponse {
  body: Body;
}

/** Who waits for an exchange. */
export interface Waiting {
  resolve(response: UpstreamResponse): void;
  reject(error: UpstreamError): void;
  /** Last of all. `isSound`: the connection may carry another request. */
  over(isSound: boolean): void;
}

export class Exchange implements Dispatcher.DispatchHandler, Flow {
  readonly #request: UpstreamRequest;
  readonly #memory: BodyMemory | null;
  readonly #waiting: Waiting;
  readonly #unsubscribe: () => void;
  #controller: Controller | null = null;
  #requestSent = false;
  #aborted: Error | null = null;
  #head: Head | null = null;
  #download: Download | null = null;
  #interimCount = 0;
  #isOver = false;

  /** @param memory  for a response that is read ahead of its client; null: it is not */
  constructor(request: UpstreamRequest, memory: BodyMemory | null, waiting: Waiting) {
    this.#request = request;
    this.#memory = memory;
    this.#waiting = waiting;
    this.#unsubscribe = request.abort.onAbort(() => this.#abort());
  }

  /** Called right before the first byte is written: from here on the upstream may have seen it. */
  onRequestStart(controller: Controller): void {
    this.#controller = controller;
  }

  onRequestSent(): void {
    this.#requestSent = true;
  }

  onResponseStart(controller: Controller, status: number): void {
    if (status < 200) {
      this.#passInterim();
      return;
    }
    const headers = readHeaders(controller.rawHeaders);
    const problem = headProblem(status, headers);
    if (problem !== null) throw new InvalidResponseError(problem);
    const length = declaredLength(headers);
    this.#download = new Download(length, this, this.#memory);
    const head: Head = { status, headers, body: this.#download, tunnel: null };
    this.#head = head;
    this.#waiting.resolve(head);
  }

  /** The connection has left HTTP, and undici with it. Called for a 101 to a request that asked. */
  onRequestUpgrade(controller: Controller, status: number, _headers: object, socket: Duplex): void {
    const headers = readHeaders(controller.rawHeaders);
    const problem = switchProblem(this.#request, headers);
    if (problem === null && socket instanceof Socket) {
      const { readTimeoutMs: idleMs, writeTimeoutMs: stallMs } = this.#request;
      const tunnel = new SocketTunnel(socket, { idleMs, stallMs });
      this.#waiting.resolve({ status, headers, body: null, tunnel });
    } else {
      socket.destroy();
      const cause = new InvalidResponseError(problem ?? 'no socket');
      this.#waiting.reject(new UpstreamError('invalid_response', true, cause));
    }
    this.#over(false);
  }

  /** Interim responses are not passed on, as nothing asks for them. Each restarts the read timeout. */
  #passInterim(): void {
    this.#interimCount += 1;
    if (this.#interimCount > INTERIM_MAX) throw new InvalidResponseError('interim responses');
  }

  onResponseData(_controller: Controller, chunk: Uint8Array): void {
    this.#download?.push(chunk);
  }

  onResponseEnd(controller: Controller): void {
    const trailers = readTrailers(controller.rawTrailers);
    this.#download?.finish(trailers);
    this.#settleBody();
    // An answer to half a request: what the upstream makes of the other half is anyone's guess.
    this.#over(this.#requestSent);
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    const cause = this.#aborted ?? error;
    const mapped =
      cause instanceof UpstreamError
        ? cause
        : new UpstreamError(this.#failureOf(cause), this.#controller !== null, cause);
    if (this.#download === null) this.#waiting.reject(mapped);
    else this.#download.fail(mapped);
    this.#over(false);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  cancel(error: Error): void {
    if (!this.#isOver) this.#controller?.abort(error);
  }

  /**
   * A response that came in one piece is complete before anybody looks at the head, because promise
   * reactions run later. Bytes are cheaper to pass on than a stream.
   */
  #settleBody(): void {
    if (this.#head === null || this.#download === null) return;
    const whole = this.#download.takeWhole();
    if (whole === null) return;
    this.#head.body = whole.length === 0 ? null : whole;
  }

  #abort(): void {
    if (this.#isOver) return;
    const error = new UpstreamError('aborted', this.#controller !== null);
    this.#aborted = error;
    if (this.#controller !== null) {
      this.#controller.abort(error);
      return;
    }
    // Still connecting: the connection is given up with the request.
    this.#waiting.reject(error);
    this.#over(false);
  }

  #over(isSound: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#unsubscribe();
    this.#waiting.over(isSound);
  }

  #failureOf(error: Error): UpstreamFailure {
    if (error instanceof InvalidResponseError) return 'invalid_response';
    if (error instanceof WriteStalledError) return 'write_timeout';
    const code = 'code' in error ? error.code : null;
    if (this.#controller === null) return connectFailureOf(error, code);
    switch (code) {
      case 'UND_ERR_HEADERS_TIMEOUT':
        return this.#requestSent ? 'read_timeout' : 'write_timeout';
      case 'UND_ERR_BODY_TIMEOUT':
        return 'read_timeout';
      case 'UND_ERR_HEADERS_OVERFLOW':
      case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
        return 'invalid_response';
      case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH':
      case 'UND_ERR_ABORTED':
        return 'aborted';
      case 'UND_ERR_SOCKET':
        return error.message.startsWith('bad ') ? 'invalid_response' : 'reset';
      default:
        // Not by its code: undici has one for some of its parser's errors only.
        return error.name === 'HTTPParserError' ? 'invalid_response' : 'reset';
    }
  }
}

class InvalidResponseError extends Error {
  override readonly name = 'InvalidResponseError';
}

/** A failure before the first byte of the request. */
export function connectFailureOf(error: Error, code: unknown): UpstreamFailure {
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'ENODATA':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
      return 'resolve';
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return 'connect_timeout';
    default:
      if (error instanceof AggregateError && error.errors.every(isTimeout)) {
        return 'connect_timeout';
      }
      return 'connect';
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ETIMEDOUT';
}

/** undici hands over the fields as they stood, as alternating buffers. */
function readHeaders(raw: Controller['rawHeaders']): HeaderList {
  const flat: string[] = [];
  if (Array.isArray(raw)) {
    for (const part of raw) flat.push(typeof part === 'string' ? part : part.toString('latin1'));
  }
  return new HeaderList(flat);
}

function readTrailers(raw: Controller['rawTrailers']): HeaderList | null {
  return Array.isArray(raw) && raw.length > 0 ? readHeaders(raw) : null;
}

/** Why the connection has not become what was asked for; null when it has. */
function switchProblem(request: UpstreamRequest, headers: HeaderList): string | null {
  const key = request.headers.get('sec-websocket-key') ?? '';
  const accept = createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64');
  return acceptanceProblem(request.headers, headers, accept);
}

const STATUS_MAX = 999;

/** What the parser lets through and a proxy must not: framing that the next hop may read otherwise. */
function headProblem(status: number, headers: HeaderList): string | null {
  if (status > STATUS_MAX) return 'status out of range';
  const codings = headers.getAll('transfer-encoding');
  if (codings.length === 0) return null;
  if (codings.length > 1 || codings[0]?.trim().toLowerCase() !== 'chunked') {
    return 'transfer-encoding other than chunked';
  }
  return headers.has('content-length') ? 'content-length beside transfer-encoding' : null;
}

function declaredLength(headers: HeaderList): number | null {
  const text = headers.get('content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
