/** HTTP/1.1 and 1.0 over `node:http`: strict in, gateway responses out. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SERVER_TOKEN } from '#shared/base/product.ts';
import { isPromise } from '#shared/base/maybe-promise.ts';
import type { Body } from '#shared/http/body.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayResponse } from '#shared/http/message.ts';
import type { ConnectionFacts } from '../connection-facts.ts';
import {
  CHECK_INTERVAL_MS,
  type Engine,
  type EngineOptions,
  HEAD_BYTES_MAX,
  HEAD_TIMEOUT_MS,
  KEEP_ALIVE_MS,
} from '../engine.ts';
import { type Refusal, refusalText, requestIdOf, writeRawRefusal } from '../refusal.ts';
import { HEADER_COUNT_MAX, NodeRequest, type RequestHead } from '../request.ts';
import { BUFFERED_BODY_BYTES_MAX, readWhole, RequestBody } from '../request-body.ts';
import { discard, Http1BodySource } from './body-source.ts';
import {
  beginConnection,
  type ClientConnection,
  connectionOf,
  PIPELINED_MAX,
  Turn,
} from './client-connection.ts';
import { announcesBody, originTarget, refusalOf, requestHead } from './head.ts';
import { Http1ResponseWriter } from './response.ts';
import { asksForTunnel, Upgrade } from './upgrade.ts';

export class Http1Engine implements Engine {
  readonly #options: EngineOptions;
  /** Never listens: connections are handed to it. */
  readonly #server: Server;
  #tunnels = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#server = createServer({
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
    });
    this.#wire();
  }

  take(socket: Socket, facts: ConnectionFacts): void {
    beginConnection(socket, facts);
    this.#server.emit('connection', socket);
  }

  drain(): void {
    this.#server.closeIdleConnections();
    // Ends the checking of timeouts; there is no port to close.
    this.#server.close();
  }

  /** Connections that have switched protocols, or ask to; they count as in flight. */
  get tunnelCount(): number {
    return this.#tunnels;
  }

  #wire(): void {
    const server = this.#server;
    server.maxHeadersCount = HEADER_COUNT_MAX + 1;
    server.on('request', (message, response) => this.#accept(message, response));
    server.on('checkContinue', (message, response) => this.#accept(message, response));
    server.on('checkExpectation', (message, response) => this.#accept(message, response));
    server.on('clientError', (error, socket) => this.#malformed(error, socket as Socket));
    server.on('upgrade', (message: IncomingMessage, _socket, head: Buffer) =>
      this.#upgrade(message, head),
    );
    server.on('connect', (_message, socket) => this.#connect(socket as Socket));
    server.setTimeout(this.#options.sendIdleMs, (socket) => this.#quiet(socket));
    // What begins the checking of head timeouts.
    server.emit('listening');
  }

  /** Begins with a request when those before it on its connection are over. */
  #accept(message: IncomingMessage, response: ServerResponse): void {
    const connection = connectionOf(message.socket);
    if (connection.isClosing) return;
    const turn = new Turn(connection, message, response);
    if (connection.current === null) this.#begin(connection, turn);
    else if (connection.waiting.length < PIPELINED_MAX) connection.waiting.push(turn);
    else message.socket.destroy();
  }

  #upgrade(message: IncomingMessage, head: Buffer): void {
    this.#options.flight.begin();
    this.#tunnels += 1;
    const upgrade = new Upgrade(message, head, {
      sendIdleMs: this.#options.sendIdleMs,
      handle: (request) => this.#options.handle(request),
      onResponse: (status) => this.#options.onResponse(status),
      refuse: (socket, { status }) => {
        this.#options.onResponse(status);
        writeRawRefusal(socket, status, this.#requestId());
      },
      over: () => {
        this.#tunnels -= 1;
        this.#options.flight.end();
      },
    });
    upgrade.start();
  }

  #begin(connection: ClientConnection, turn: Turn): void {
    connection.current = turn;
    this.#options.flight.begin();
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
    else {
      const head = requestHead(message, target, headers);
      if (announcesBody(headers)) this.#beginWithBody(turn, head);
      else this.#handle(turn, new NodeRequest(connection.facts, head, null));
    }
  }

  #beginWithBody(turn: Turn, head: RequestHead): void {
    const { message, response } = turn;
    const { headers } = head;
    const { facts } = turn.connection;
    const source = new Http1BodySource(message, response);
    const declared = headers.get('content-length');
    const length = declared === null ? null : Number(declared);
    const expectsContinue = headers.has('expect');
    const idleMs = this.#options.bodyIdleMs;
    const start = (body: Body): void => this.#handle(turn, new NodeRequest(facts, head, body));
    const onIdle = (): void => this.#refuse(turn, { status: 408, reason: 'body idle' });
    if (length !== null && length <= BUFFERED_BODY_BYTES_MAX && !expectsContinue) {
      readWhole(source, { length, idleMs }, (body, isIdle) => {
        if (body !== null) start(body);
        else if (isIdle) onIdle();
      });
      return;
    }
    start(new RequestBody({ source, length, expectsContinue, idleMs, onIdle }));
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
    const writer = new Http1ResponseWriter(response, answer, {
      method: request.method,
      httpVersion: request.httpVersion,
      // A client that was never told to continue may or may not send its body.
      mustClose: this.#options.flight.isDraining || owesContinue || turn.connection.isLast,
      requestHeaders: request.headers,
    });
    turn.writer = writer;
    // Answered already (408), or gone: what is left is to tell the gateway so.
    if (response.destroyed || response.headersSent) {
      if (answer.body !== null && !(answer.body instanceof Uint8Array)) answer.body.cancel();
      if (response.closed) writer.closed();
      return;
    }
    this.#options.onResponse(answer.status);
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
    this.#options.flight.end();
    connection.current = null;
    const { socket } = turn.message;
    const next = connection.waiting.shift();
    if (socket.destroyed) connection.waiting.length = 0;
    else if (next !== undefined) this.#begin(connection, next);
    else if (connection.isClosing) socket.destroySoon();
  }

  /** Answers what never gets to the gateway, and closes: the rest of the stream is in doubt. */
  #refuse({ connection, message, response }: Turn, refusal: Refusal): void {
    connection.isClosing = true;
    connection.waiting.length = 0;
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const requestId = this.#requestId();
    const accept = message.headers.accept ?? null;
    const { type, text } = refusalText(refusal.status, accept, requestId);
    this.#options.onResponse(refusal.status);
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
    this.#options.onResponse(status);
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
    return requestIdOf(this.#options.random);
  }
}
