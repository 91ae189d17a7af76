/** One stream: a request, what the gateway makes of it, and the answer. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import { SERVER_TOKEN } from '#shared/base/product.ts';
import { isPromise } from '#shared/base/maybe-promise.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import type { GatewayResponse } from '#shared/http/message.ts';
import type { ConnectionFacts } from '../connection-facts.ts';
import type { EngineOptions } from '../engine.ts';
import { type Refusal, refusalText, requestIdOf, sentStatus } from '../refusal.ts';
import { NodeRequest, type RequestHead } from '../request.ts';
import { BUFFERED_BODY_BYTES_MAX, readWhole, RequestBody } from '../request-body.ts';
import { discard, H2BodySource } from './body-source.ts';
import { readHead } from './head.ts';
import { H2ResponseWriter } from './response.ts';

/** An answer that nobody takes ends after so many times its silence, whatever else moves. */
const STALLS_MAX = 5;

export interface ExchangeHost {
  readonly facts: ConnectionFacts;
  readonly options: EngineOptions;
  /** `isBroken`: the stream ended before its answer did. */
  over(exchange: H2Exchange, isBroken: boolean): void;
}

export class H2Exchange {
  readonly #stream: ServerHttp2Stream;
  readonly #host: ExchangeHost;
  #source: H2BodySource | null = null;
  #request: NodeRequest | null = null;
  #writer: H2ResponseWriter | null = null;
  #isAnswered = false;
  /** What waits to be taken, and since when it has not become less. */
  #pendingBytes = 0;
  #pendingSinceMs = 0;

  constructor(stream: ServerHttp2Stream, host: ExchangeHost) {
    this.#stream = stream;
    this.#host = host;
  }

  /** Bytes of bodies that went either way. */
  get payloadBytes(): number {
    return (this.#source?.takenBytes ?? 0) + (this.#writer?.bytesSent ?? 0);
  }

  /** @param raw  the head's fields as they came */
  start(raw: readonly string[], hasBody: boolean): void {
    this.#watch();
    const { head, refusal, ...rest } = readHead(raw);
    if (head === null) {
      this.#refuse(refusal, 'headers' in rest ? rest.headers : null);
      return;
    }
    if (hasBody) {
      this.#startWithBody(head);
      return;
    }
    // Its end is here already, and has to be taken: see `discard`.
    this.#stream.resume();
    this.#handle(new NodeRequest(this.#host.facts, head, null));
  }

  /** Instead of `start`. */
  refuse(refusal: Refusal): void {
    this.#watch();
    this.#refuse(refusal, null);
  }

  /**
   * Called now and then. Answers whether the client has taken nothing for too long.
   *
   * @param isMoving  the connection has taken something meanwhile
   */
  isStalled(nowMs: number, isMoving: boolean): boolean {
    if (this.#isAnswered) this.#endRequest();
    const pending = this.#stream.bufferSize;
    if (pending === 0 || pending !== this.#pendingBytes || this.#pendingSinceMs === 0) {
      this.#pendingBytes = pending;
      this.#pendingSinceMs = nowMs;
      return false;
    }
    const { sendIdleMs } = this.#host.options;
    // A slow line shared by many is not one that nobody reads from.
    return nowMs - this.#pendingSinceMs > sendIdleMs * (isMoving ? STALLS_MAX : 1);
  }

  cancel(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #watch(): void {
    // Said again by `close`, with the code.
    this.#stream.on('error', ignore);
    this.#stream.once('close', () => this.#over());
  }

  #startWithBody(head: RequestHead): void {
    const { facts, options } = this.#host;
    const idleMs = options.bodyIdleMs;
    const source = new H2BodySource(this.#stream);
    this.#source = source;
    const declared = head.headers.get('content-length');
    const length = declared === null ? null : Number(declared);
    const expectsContinue = head.headers.has('expect');
    const onIdle = (): void => this.#refuse({ status: 408, reason: 'body idle' }, head.headers);
    if (length !== null && length <= BUFFERED_BODY_BYTES_MAX && !expectsContinue) {
      readWhole(source, { length, idleMs }, (body, isIdle) => {
        if (body !== null) this.#handle(new NodeRequest(facts, head, body));
        else if (isIdle) onIdle();
      });
      return;
    }
    const body = new RequestBody({ source, length, expectsContinue, idleMs, onIdle });
    this.#handle(new NodeRequest(facts, head, body));
  }

  #handle(request: NodeRequest): void {
    this.#request = request;
    const write = (answer: GatewayResponse): void => this.#write(request, answer);
    const answer = this.#host.options.handle(request);
    // The gateway never rejects; should it, the stream must not hang.
    if (isPromise(answer)) answer.then(write, () => this.#reset());
    else write(answer);
  }

  #write(request: NodeRequest, answer: GatewayResponse): void {
    const stream = this.#stream;
    const writer = new H2ResponseWriter(stream, answer, request);
    this.#writer = writer;
    // Answered already (408), or gone: what is left is to tell the gateway so.
    if (stream.destroyed || stream.closed || stream.headersSent) {
      if (answer.body !== null && !(answer.body instanceof Uint8Array)) answer.body.cancel();
      if (stream.destroyed) writer.closed();
      return;
    }
    this.#host.options.onResponse(answer.status);
    if (request.body instanceof RequestBody) {
      request.body.abandon();
      if (!request.body.consumed) this.#source?.discard();
      stream.once('finish', () => setImmediate(() => this.#endRequest()));
    }
    try {
      writer.start();
    } catch {
      // A field that cannot be sent, out of somebody's configuration.
      this.#refuse({ status: 500, reason: 'response head' }, request.headers);
    }
  }

  /**
   * The answer is out: nobody wants the rest of the request (RFC 9113 section 8.1). But its last frame may
   * still wait behind those of others, and a reset would overtake it; then `look` comes back.
   */
  #endRequest(): void {
    const stream = this.#stream;
    this.#isAnswered = true;
    if (stream.readableEnded || stream.closed || stream.destroyed) return;
    if (stream.state.localClose === 1) stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** Answers what never gets to the gateway. */
  #refuse(refusal: Refusal, headers: HeaderList | null): void {
    const stream = this.#stream;
    if (stream.headersSent || stream.destroyed || stream.closed) {
      this.#reset();
      return;
    }
    const { options } = this.#host;
    const requestId = requestIdOf(options.random);
    const accept = headers === null ? null : headers.get('accept');
    const { type, text } = refusalText(refusal.status, accept, requestId);
    const status = sentStatus(refusal.status);
    options.onResponse(status);
    stream.once('finish', () => setImmediate(() => this.#endRequest()));
    if (this.#source === null) discard(stream);
    else this.#source.discard();
    stream.respond({
      ':status': status,
      'content-type': type,
      'content-length': Buffer.byteLength(text),
      server: SERVER_TOKEN,
      'x-kong-request-id': requestId,
    });
    stream.end(text);
  }

  #reset(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #over(): void {
    const { headersSent, rstCode } = this.#stream;
    const isRefused = headersSent && rstCode === constants.NGHTTP2_NO_ERROR;
    const isWhole = this.#writer === null ? isRefused : this.#writer.isWhole;
    if (!isWhole) this.#request?.fireAbort();
    this.#writer?.closed();
    this.#host.over(this, !isWhole);
  }
}

function ignore(): void {}
