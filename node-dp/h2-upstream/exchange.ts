/** One request and its response on a stream of HTTP/2. Answers once, with a head or an error. */
import { type ClientHttp2Stream, constants } from 'node:http2';
import type { BodyStream } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import { passableTrailers } from '#shared/http/trailers.ts';
import {
  UpstreamError,
  type UpstreamFailure,
  type UpstreamRequest,
} from '#shared/platform/platform.ts';
import { Download, type Flow } from '../download.ts';
import type { Waiting } from '../exchange.ts';
import { watchEnd } from '../h2/clean-end.ts';
import { trailerFields } from '../h2/response.ts';
import { Upload, WriteStalledError } from '../upload.ts';
import { INTERIM_MAX } from './limits.ts';
import { requestFields } from './request-fields.ts';
import type { UpstreamSession } from './session.ts';

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_REFUSED_STREAM } =
  constants;

export class UpstreamExchange implements Flow {
  readonly #request: UpstreamRequest;
  readonly #waiting: Waiting;
  readonly #unsubscribe: () => void;
  #session: UpstreamSession | null = null;
  #stream: ClientHttp2Stream | null = null;
  #upload: Upload | null = null;
  #download: Download | null = null;
  #trailers: HeaderList | null = null;
  #failure: UpstreamError | null = null;
  #silence: NodeJS.Timeout | null = null;
  #bytesLeft: number | null = null;
  #interimCount = 0;
  #isAnswered = false;
  #isOver = false;

  constructor(request: UpstreamRequest, waiting: Waiting) {
    this.#request = request;
    this.#waiting = waiting;
    this.#unsubscribe = request.abort.onAbort(() => this.#abort());
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Never got as far as a stream. */
  giveUp(failure: UpstreamFailure, cause: unknown): void {
    this.#end(new UpstreamError(failure, false, cause));
  }

  begin(session: UpstreamSession): void {
    const { body } = this.#request;
    const isStream = body !== null && !(body instanceof Uint8Array);
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(requestFields(this.#request), {
        endStream: body === null,
        waitForTrailers: isStream,
      });
    } catch (error) {
      this.#end(new UpstreamError('invalid_response', false, error));
      return;
    }
    this.#session = session;
    this.#stream = stream;
    const { readTimeoutMs } = this.#request;
    if (readTimeoutMs > 0) this.#silence = setTimeout(() => this.#silent(), readTimeoutMs);
    this.#listen(stream, session);
    if (isStream) this.#send(stream, body);
    else if (body !== null) stream.end(body);
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#silence?.refresh();
    this.#stream?.resume();
  }

  cancel(error: Error): void {
    this.#break(new UpstreamError('aborted', true, error));
  }

  #listen(stream: ClientHttp2Stream, session: UpstreamSession): void {
    const isEnded = watchEnd(stream);
    stream.on('headers', () => this.#interim());
    stream.on('response', (headers, flags: number, raw?: string[]) => {
      this.#head(headers[':status'] ?? 0, raw ?? [], (flags & END_STREAM) !== 0);
    });
    stream.on('trailers', (_headers, _flags, raw?: string[]) => {
      if (raw !== undefined && raw.length > 0) this.#trailers = new HeaderList(raw);
    });
    stream.on('data', (chunk: Buffer) => this.#data(chunk));
    stream.on('end', () => {
      if (isEnded() && this.#isAnswered && (this.#bytesLeft ?? 0) === 0) this.#whole(stream);
    });
    // The close that follows says the same, and with the code.
    stream.on('error', ignore);
    stream.once('close', () => {
      this.#closed();
      session.over();
    });
  }

  #send(stream: ClientHttp2Stream, body: BodyStream): void {
    const upload = new Upload(body, this.#request.writeTimeoutMs);
    this.#upload = upload;
    upload.on('error', (error) => this.#break(uploadFailure(error)));
    upload.on('data', (chunk: Uint8Array) => {
      this.#silence?.refresh();
      if (!stream.write(chunk)) upload.pause();
    });
    upload.on('end', () => stream.end());
    stream.on('drain', () => {
      this.#silence?.refresh();
      upload.resume();
    });
    stream.once('wantTrailers', () => {
      const trailers = upload.trailers === null ? null : passableTrailers(upload.trailers);
      stream.sendTrailers(trailers === null ? {} : trailerFields(trailers));
    });
  }

  /** Interim responses are not passed on, as nothing asks for them. */
  #interim(): void {
    this.#silence?.refresh();
    this.#interimCount += 1;
    if (this.#interimCount > INTERIM_MAX) this.#distrust('interim responses');
  }

  #head(status: number, raw: readonly string[], isLast: boolean): void {
    if (this.#isOver || this.#failure !== null) return;
    this.#silence?.refresh();
    const headers = fieldsOf(raw);
    this.#isAnswered = true;
    if (!isLast) {
      this.#bytesLeft = declaredLength(headers);
      this.#download = new Download(this.#bytesLeft, this);
    }
    this.#waiting.resolve({ status, headers, body: this.#download, tunnel: null });
  }

  #data(chunk: Buffer): void {
    this.#silence?.refresh();
    if (this.#bytesLeft !== null) this.#bytesLeft -= chunk.length;
    this.#download?.push(chunk);
  }

  /** All of the answer is here, whatever of the request is still to be sent. */
  #whole(stream: ClientHttp2Stream): void {
    if (this.#failure !== null) return;
    this.#end(null);
    // Half a request has no use any more (RFC 9113 section 8.1).
    if (!stream.writableEnded) stream.close(NGHTTP2_NO_ERROR);
  }

  /** Nothing went either way for too long, unless it was us who did not want any. */
  #silent(): void {
    if (this.#stream?.isPaused() === true) {
      this.#silence?.refresh();
      return;
    }
    this.#session?.retire();
    this.#break(new UpstreamError('read_timeout', true));
  }

  #distrust(problem: string): void {
    this.#session?.retire();
    this.#break(new UpstreamError('invalid_response', true, new Error(problem)));
  }

  #abort(): void {
    if (this.#isOver) return;
    const error = new UpstreamError('aborted', this.#stream !== null);
    if (this.#stream === null) this.#end(error);
    else this.#break(error);
  }

  /** Ends the stream from our side; the close that follows tells who waits. */
  #break(error: UpstreamError): void {
    if (this.#isOver || this.#failure !== null) return;
    this.#failure = error;
    this.#stream?.close(NGHTTP2_CANCEL);
  }

  #closed(): void {
    const code = this.#stream?.rstCode ?? NGHTTP2_NO_ERROR;
    if (this.#failure !== null) this.#end(this.#failure);
    else if (!this.#isAnswered) this.#end(unanswered(this.#stream, code));
    else this.#end(new UpstreamError('reset', true, new Error(`stream closed with code ${code}`)));
  }

  #end(error: UpstreamError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#unsubscribe();
    if (this.#silence !== null) clearTimeout(this.#silence);
    // An answer to half a request: the other half has no taker.
    this.#upload?.destroy();
    if (error === null) this.#download?.finish(this.#trailers);
    else if (this.#download === null) this.#waiting.reject(error);
    else this.#download.fail(error);
    this.#waiting.over(error === null);
  }
}

const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;

/** Refused, or never sent: the target has not acted upon it (RFC 9113 sections 6.8 and 8.7). */
function unanswered(stream: ClientHttp2Stream | null, code: number): UpstreamError {
  const isRefused = code === NGHTTP2_REFUSED_STREAM || stream?.id === undefined;
  const failure = code === NGHTTP2_PROTOCOL_ERROR ? 'invalid_response' : 'reset';
  return new UpstreamError(failure, !isRefused, new Error(`stream closed with code ${code}`));
}

function uploadFailure(error: Error): UpstreamError {
  return new UpstreamError(
    error instanceof WriteStalledError ? 'write_timeout' : 'aborted',
    true,
    error,
  );
}

function fieldsOf(raw: readonly string[]): HeaderList {
  const flat: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (!name.startsWith(':')) flat.push(name, raw[i + 1] ?? '');
  }
  return new HeaderList(flat);
}

function declaredLength(headers: HeaderList): number | null {
  const text = headers.get('content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function ignore(): void {}
