/** One listening port of the data plane: strict HTTP/1.1 in, gateway responses out. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { SERVER_TOKEN } from '#shared/base/product.ts';
import { isPromise, type MaybePromise } from '#shared/base/maybe-promise.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import type { Body } from '#shared/http/body.ts';
import type { Random } from '#shared/platform/platform.ts';
import type { Listen } from '#shared/settings/listen.ts';
import { refusalText, writeRawRefusal } from './refusal.ts';
import {
  announcesBody,
  HEADER_COUNT_MAX,
  NodeRequest,
  originTarget,
  refusalOf,
  type Refusal,
} from './request.ts';
import {
  BODY_IDLE_MS,
  BUFFERED_BODY_BYTES_MAX,
  discard,
  readWhole,
  RequestBody,
} from './request-body.ts';
import { ResponseWriter } from './response.ts';

/** Request line and header fields together. */
export const HEAD_BYTES_MAX = 16 * 1024;
const HEAD_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const TLS_HANDSHAKE_MS = 10_000;
const CHECK_INTERVAL_MS = 1000;
const BACKLOG = 4096;

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

export interface ListenerOptions {
  readonly listen: Listen;
  /** PEM texts; needed where `listen.tls`. */
  readonly tls: TlsFiles | null;
  readonly connectionsMax: number;
  readonly random: Random;
  /** Longest silence of a client in the middle of a body. Default 30 s. */
  readonly bodyIdleMs?: number;
  handle(request: GatewayRequest): MaybePromise<GatewayResponse>;
  /** Hears of every answer, refusals included. */
  onResponse?: ((status: number) => void) | undefined;
}

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #inFlight = 0;
  #isDraining = false;
  #onIdle: (() => void) | null = null;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const limits = {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: HEAD_TIMEOUT_MS,
      // Uploads may take as long as they like, as long as they go on: see RequestBody.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      insecureHTTPParser: false,
      // Checked by us, for an answer in Kong's shape.
      requireHostHeader: false,
      noDelay: true,
    };
    if (options.listen.tls) {
      if (options.tls === null) throw new TypeError('a TLS listener needs a certificate');
      this.#server = createTlsServer({
        ...limits,
        cert: options.tls.cert,
        key: options.tls.key,
        minVersion: 'TLSv1.2',
        ALPNProtocols: ['http/1.1'],
        handshakeTimeout: TLS_HANDSHAKE_MS,
      });
    } else {
      this.#server = createServer(limits);
    }
    this.#wire();
  }

  /**
   * Binds the port.
   * @throws the system error (`EADDRINUSE`, `EACCES` …)
   */
  start(): Promise<ListenerAddress> {
    const { host, port, tls } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        // A listening TCP server's address is an object.
        const bound = this.#server.address() as AddressInfo;
        resolve({ host, port: bound.port, tls });
      });
    });
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Stops accepting, lets what is in flight finish, and cuts what is left after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    if (this.#inFlight > 0) await this.#idleOrDeadline(deadlineMs);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #idleOrDeadline(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        // The last response's bytes are still on their way out of the socket's buffer.
        setImmediate(resolve);
      };
    });
  }

  #wire(): void {
    const server = this.#server;
    server.maxHeadersCount = HEADER_COUNT_MAX + 1;
    server.maxConnections = this.#options.connectionsMax;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('request', (message, response) => this.#accept(message, response));
    server.on('checkContinue', (message, response) => this.#accept(message, response));
    server.on('checkExpectation', (message, response) => this.#accept(message, response));
    server.on('clientError', (error, socket) => this.#malformed(error, socket as Socket));
    server.on('connect', (_message, socket) => writeRawRefusal(socket, 405, this.#requestId()));
  }

  #accept(message: IncomingMessage, response: ServerResponse): void {
    const headers = new HeaderList(message.rawHeaders);
    const refusal = refusalOf(message, headers);
    if (refusal !== null) {
      this.#refuse(message, response, refusal);
      return;
    }
    const target = originTarget(message.url ?? '', headers);
    if (target === null) {
      this.#refuse(message, response, { status: 400, reason: 'target form' });
      return;
    }
    if (!announcesBody(headers)) {
      this.#handle(message, response, new NodeRequest(message, target, headers, null));
      return;
    }
    this.#acceptWithBody(message, response, target, headers);
  }

  #acceptWithBody(
    message: IncomingMessage,
    response: ServerResponse,
    target: string,
    headers: HeaderList,
  ): void {
    const declared = headers.get('content-length');
    const length = declared === null ? null : Number(declared);
    const expectsContinue = headers.has('expect');
    const idleMs = this.#options.bodyIdleMs ?? BODY_IDLE_MS;
    const start = (body: Body): void =>
      this.#handle(message, response, new NodeRequest(message, target, headers, body));
    if (length !== null && length <= BUFFERED_BODY_BYTES_MAX && !expectsContinue) {
      // Counted from its head on: a stop waits for a request that is still arriving.
      this.#inFlight += 1;
      readWhole(message, { length, idleMs }, (body, isIdle) => {
        if (body !== null) start(body);
        else if (isIdle) this.#idle(message, response);
        this.#left();
      });
      return;
    }
    const onIdle = (): void => this.#idle(message, response);
    start(new RequestBody({ message, response, length, expectsContinue, idleMs, onIdle }));
  }

  #handle(message: IncomingMessage, response: ServerResponse, request: NodeRequest): void {
    this.#inFlight += 1;
    let writer: ResponseWriter | null = null;
    let isClosed = false;
    response.on('close', () => {
      isClosed = true;
      if (!response.writableFinished) request.fireAbort();
      writer?.closed();
      this.#left();
    });
    const write = (answer: GatewayResponse): void => {
      writer = this.#write(message, response, request, answer);
      if (isClosed) writer.closed();
    };
    const answer = this.#options.handle(request);
    // The gateway never rejects; should it, the connection must not hang.
    if (isPromise(answer)) answer.then(write, () => response.destroy());
    else write(answer);
  }

  #write(
    message: IncomingMessage,
    response: ServerResponse,
    request: NodeRequest,
    answer: GatewayResponse,
  ): ResponseWriter {
    const body = request.body;
    const owesContinue = body instanceof RequestBody && !body.isFlowing;
    const writer = new ResponseWriter(response, answer, {
      method: request.method,
      httpVersion: request.httpVersion,
      // A client that was never told to continue may or may not send its body.
      mustClose: this.#isDraining || owesContinue,
      requestHeaders: request.headers,
    });
    // Answered already (408), or gone: what is left is to tell the gateway so.
    if (response.destroyed || response.headersSent) {
      if (answer.body !== null && !(answer.body instanceof Uint8Array)) answer.body.cancel();
      return writer;
    }
    this.#options.onResponse?.(answer.status);
    if (body instanceof RequestBody) {
      body.abandon();
      if (body.consumed) response.once('finish', () => discard(message));
    }
    writer.start();
    return writer;
  }

  #left(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.#onIdle?.();
  }

  /** Answers what never gets to the gateway, and closes: the rest of the stream is in doubt. */
  #refuse(message: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const requestId = this.#requestId();
    const accept = message.headers.accept ?? null;
    const { type, text } = refusalText(refusal.status, accept, requestId);
    this.#options.onResponse?.(refusal.status);
    response.writeHead(refusal.status, {
      'Content-Type': type,
      'Content-Length': Buffer.byteLength(text),
      Connection: 'close',
      Server: SERVER_TOKEN,
      'X-Kong-Request-Id': requestId,
    });
    response.end(text);
  }

  #idle(message: IncomingMessage, response: ServerResponse): void {
    this.#refuse(message, response, { status: 408, reason: 'body idle' });
  }

  /** What the parser itself refused; there is no request object to answer through. */
  #malformed(error: Error, socket: Socket): void {
    const code = 'code' in error ? error.code : null;
    const status = code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
    const isTooLarge = code === 'HPE_HEADER_OVERFLOW';
    // Node's own record of the response on this socket: bytes of ours in the middle of it would be
    // read as part of it.
    const current: ServerResponse | null | undefined = Reflect.get(socket, '_httpMessage');
    if (code === 'ECONNRESET' || current?.headersSent === true) {
      socket.destroy();
      return;
    }
    this.#options.onResponse?.(status);
    writeRawRefusal(socket, isTooLarge ? 494 : status, this.#requestId());
  }

  #requestId(): string {
    return this.#options.random.uuid().replaceAll('-', '');
  }
}
