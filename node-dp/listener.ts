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
import { type ClientConnection, connectionOf, PIPELINED_MAX, Turn } from './client-connection.ts';
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
import { asksForTunnel, Upgrade } from './upgrade.ts';

/** Request line and header fields together. */
export const HEAD_BYTES_MAX = 16 * 1024;
const HEAD_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const SEND_IDLE_MS = 60_000;
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
  /** Longest time a client may take nothing of a response. Default 60 s, as nginx' `send_timeout`. */
  readonly sendIdleMs?: number;
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
  #tunnels = 0;
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
      shouldUpgradeCallback: asksForTunnel,
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

  /** Connections that have switched protocols, or ask to; they count as in flight. */
  get tunnelCount(): number {
    return this.#tunnels;
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
    server.on('upgrade', (message: IncomingMessage, _socket, head: Buffer) =>
      this.#upgrade(message, head),
    );
    server.on('connect', (_message, socket) => this.#connect(socket as Socket));
    server.setTimeout(this.#options.sendIdleMs ?? SEND_IDLE_MS, (socket) => this.#quiet(socket));
  }

  /** Begins with a request when those before it on its connection are over. */
  #accept(message: IncomingMessage, response: ServerResponse): void {
    const connection = connectionOf(message.socket);
    if (connection.isClosing) return;
    const turn = new Turn(message, response);
    if (connection.current === null) this.#begin(connection, turn);
    else if (connection.waiting.length < PIPELINED_MAX) connection.waiting.push(turn);
    else message.socket.destroy();
  }

  #upgrade(message: IncomingMessage, head: Buffer): void {
    this.#inFlight += 1;
    this.#tunnels += 1;
    const upgrade = new Upgrade(message, head, {
      sendIdleMs: this.#options.sendIdleMs ?? SEND_IDLE_MS,
      handle: (request) => this.#options.handle(request),
      onResponse: (status) => this.#options.onResponse?.(status),
      refuse: (socket, { status }) => {
        this.#options.onResponse?.(status);
        writeRawRefusal(socket, status, this.#requestId());
      },
      over: () => {
        this.#tunnels -= 1;
        this.#inFlight -= 1;
        if (this.#inFlight === 0) this.#onIdle?.();
      },
    });
    upgrade.start();
  }

  #begin(connection: ClientConnection, turn: Turn): void {
    connection.current = turn;
    this.#inFlight += 1;
    turn.response.on('close', () => this.#over(connection, turn));
    const { message } = turn;
    const headers = new HeaderList(message.rawHeaders);
    const refusal = refusalOf(message, headers);
    if (refusal !== null) {
      this.#refuse(turn, refusal);
      return;
    }
    const target = originTarget(message.url ?? '', headers);
    if (target === null) this.#refuse(turn, { status: 400, reason: 'target form' });
    else if (announcesBody(headers)) this.#beginWithBody(turn, target, headers);
    else this.#handle(turn, new NodeRequest(message, target, headers, null));
  }

  #beginWithBody(turn: Turn, target: string, headers: HeaderList): void {
    const { message, response } = turn;
    const declared = headers.get('content-length');
    const length = declared === null ? null : Number(declared);
    const expectsContinue = headers.has('expect');
    const idleMs = this.#options.bodyIdleMs ?? BODY_IDLE_MS;
    const start = (body: Body): void =>
      this.#handle(turn, new NodeRequest(message, target, headers, body));
    const onIdle = (): void => this.#refuse(turn, { status: 408, reason: 'body idle' });
    if (length !== null && length <= BUFFERED_BODY_BYTES_MAX && !expectsContinue) {
      readWhole(message, { length, idleMs }, (body, isIdle) => {
        if (body !== null) start(body);
        else if (isIdle) onIdle();
      });
      return;
    }
    start(new RequestBody({ message, response, length, expectsContinue, idleMs, onIdle }));
  }

  #handle(turn: Turn, request: NodeRequest): void {
    turn.request = request;
    const write = (answer: GatewayResponse): void => this.#write(turn, request, answer);
    const answer = this.#options.handle(request);
    // The gateway never rejects; should it, the connection must not hang.
    if (isPromise(answer)) answer.then(write, () => turn.response.destroy());
    else write(answer);
  }

  #write(turn: Turn, request: NodeRequest, answer: GatewayResponse): void {
    const { message, response } = turn;
    const { body } = request;
    const owesContinue = body instanceof RequestBody && !body.isFlowing;
    const writer = new ResponseWriter(response, answer, {
      method: request.method,
      httpVersion: request.httpVersion,
      // A client that was never told to continue may or may not send its body.
      mustClose: this.#isDraining || owesContinue || connectionOf(message.socket).isLast,
      requestHeaders: request.headers,
    });
    turn.writer = writer;
    // Answered already (408), or gone: what is left is to tell the gateway so.
    if (response.destroyed || response.headersSent) {
      if (answer.body !== null && !(answer.body instanceof Uint8Array)) answer.body.cancel();
      if (response.closed) writer.closed();
      return;
    }
    this.#options.onResponse?.(answer.status);
    if (body instanceof RequestBody) {
      body.abandon();
      if (body.consumed) response.once('finish', () => discard(message));
    }
    try {
      writer.start();
    } catch {
      // A field that cannot be sent, out of somebody's configuration.
      this.#refuse(turn, { status: 500, reason: 'response head' });
    }
  }

  /** The response is sent, or the client has gone. */
  #over(connection: ClientConnection, turn: Turn): void {
    if (!turn.response.writableFinished) turn.request?.fireAbort();
    turn.writer?.closed();
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.#onIdle?.();
    connection.current = null;
    const { socket } = turn.message;
    const next = connection.waiting.shift();
    if (socket.destroyed) connection.waiting.length = 0;
    else if (next !== undefined) this.#begin(connection, next);
    else if (connection.isClosing) socket.destroySoon();
  }

  /** Answers what never gets to the gateway, and closes: the rest of the stream is in doubt. */
  #refuse({ message, response }: Turn, refusal: Refusal): void {
    const connection = connectionOf(message.socket);
    connection.isClosing = true;
    connection.waiting.length = 0;
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

  /** What the parser itself refused; there is no request object to answer through. */
  #malformed(error: Error, socket: Socket): void {
    const code = 'code' in error ? error.code : null;
    const connection = connectionOf(socket);
    if (code !== 'ECONNRESET' && connection.endsAfterCurrent()) return;
    // Bytes of ours in the middle of a response would be read as part of it.
    if (code === 'ECONNRESET' || connection.current?.response.headersSent === true) {
      socket.destroy();
      return;
    }
    const status = code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
    this.#options.onResponse?.(status);
    const isTooLarge = code === 'HPE_HEADER_OVERFLOW';
    writeRawRefusal(socket, isTooLarge ? 494 : status, this.#requestId());
  }

  #connect(socket: Socket): void {
    if (!connectionOf(socket).endsAfterCurrent()) writeRawRefusal(socket, 405, this.#requestId());
  }

  /** Nothing went in or out for a while. */
  #quiet(socket: Socket): void {
    // Waiting for an upstream is no fault of the client's. Not taking what is there for it is.
    if (connectionOf(socket).current === null || socket.writableLength > 0) socket.destroy();
  }

  #requestId(): string {
    return this.#options.random.uuid().replaceAll('-', '');
  }
}
