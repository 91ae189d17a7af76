/**
 * A request that asks to switch protocols. `node:http` lets go of the connection with the request's
 * head, so nothing that follows is ever read as another request: it is held until the upstream has
 * switched too, and thrown away when it does not.
 */
import { type IncomingMessage, ServerResponse, STATUS_CODES, validateHeaderName } from 'node:http';
import type { Socket } from 'node:net';
import { isPromise, type MaybePromise } from '#shared/base/maybe-promise.ts';
import { HeaderList } from '#shared/http/headers.ts';
import { isHandshake } from '#shared/http/websocket.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { fieldValue } from '../field-value.ts';
import { join } from '../join.ts';
import type { Refusal } from '../refusal.ts';
import { NodeRequest } from '../request.ts';
import { SocketTunnel } from '../tunnel.ts';
import { connectionOf } from './client-connection.ts';
import { originTarget, refusalOf, requestHead } from './head.ts';
import { Http1ResponseWriter } from './response.ts';

/** What a client may send before it knows whether there is anybody to send it to. */
export const EARLY_BYTES_MAX = 64 * 1024;
/** What is read and thrown away behind an answer that is not a switch. */
const LINGER_BYTES_MAX = 1024 * 1024;
const LINGER_MS = 5000;

export interface UpgradeDeps {
  /** Longest time the client may take nothing. */
  readonly sendIdleMs: number;
  handle(request: GatewayRequest): MaybePromise<GatewayResponse>;
  onResponse(status: number): void;
  refuse(socket: Socket, refusal: Refusal): void;
  /** Called once, when the connection is over or has nothing to do with requests any more. */
  over(): void;
}

/** Whether to take a request's connection out of HTTP: `shouldUpgradeCallback` of `node:http`. */
export function asksForTunnel(message: IncomingMessage): boolean {
  // Behind another request the switch would have to wait for its answer, which no client expects.
  if (connectionOf(message.socket).current !== null) return false;
  const headers = new HeaderList(message.rawHeaders);
  return isHandshake(message.method ?? '', message.httpVersion, headers);
}

/** From the request's head to the end of the connection. */
export class Upgrade {
  readonly #socket: Socket;
  readonly #message: IncomingMessage;
  readonly #deps: UpgradeDeps;
  #request: NodeRequest | null = null;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #isAnswered = false;
  #isOver = false;

  constructor(message: IncomingMessage, head: Buffer, deps: UpgradeDeps) {
    const { socket } = message;
    this.#socket = socket;
    this.#message = message;
    this.#deps = deps;
    socket.setTimeout(0);
    // What one side has ended, the other may still answer.
    socket.allowHalfOpen = true;
    socket.on('error', ignore);
    socket.once('close', this.#gone);
    socket.once('end', this.#gone);
    socket.on('data', this.#hold);
    if (head.length > 0) this.#hold(head);
  }

  start(): void {
    const headers = new HeaderList(this.#message.rawHeaders);
    const refusal = refusalOf(this.#message, headers);
    const target = refusal === null ? originTarget(this.#message.url ?? '', headers) : null;
    if (target === null) {
      this.#isAnswered = true;
      this.#deps.refuse(this.#socket, refusal ?? { status: 400, reason: 'target form' });
      this.#linger();
      return;
    }
    const head = requestHead(this.#message, target, headers);
    const { facts } = connectionOf(this.#socket);
    const request = new NodeRequest(facts, head, null, 'websocket');
    this.#request = request;
    const write = (answer: GatewayResponse): void => this.#answer(request, answer);
    const answer = this.#deps.handle(request);
    if (isPromise(answer)) answer.then(write).catch(() => this.#socket.destroy());
    else write(answer);
  }

  #answer(request: NodeRequest, answer: GatewayResponse): void {
    this.#isAnswered = true;
    if (this.#isOver || this.#socket.destroyed) {
      abandon(answer);
      return;
    }
    this.#deps.onResponse(answer.status);
    const { tunnel } = answer;
    if (tunnel instanceof SocketTunnel) this.#switch(answer, tunnel);
    else this.#answerOnly(request, answer);
  }

  #switch(answer: GatewayResponse, tunnel: SocketTunnel): void {
    const socket = this.#socket;
    const head = switchHead(answer);
    if (head === null) {
      tunnel.cancel();
      this.#deps.refuse(socket, { status: 500, reason: 'response head' });
      this.#linger();
      answer.onFinish({ complete: false, bytesSent: 0 });
      return;
    }
    socket.off('data', this.#hold);
    socket.off('end', this.#gone);
    socket.write(head, 'latin1');
    if (this.#earlyBytes > 0) socket.unshift(Buffer.concat(this.#early));
    this.#early = [];
    const limits = {
      idleMs: tunnel.limits.idleMs,
      upstreamStallMs: tunnel.limits.stallMs,
      clientStallMs: this.#deps.sendIdleMs,
    };
    join(socket, tunnel.socket, limits, ({ end, bytesToClient }) => {
      answer.onFinish({ complete: end === 'ended', bytesSent: bytesToClient });
    });
  }

  /** An ordinary response, the last thing on this connection. */
  #answerOnly(request: NodeRequest, answer: GatewayResponse): void {
    const socket = this.#socket;
    const response = new ServerResponse(this.#message);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    socket.on('drain', () => response.emit('drain'));
    socket.setTimeout(this.#deps.sendIdleMs, () => {
      // Waiting for the upstream is no fault of the client's.
      if (socket.writableLength > 0) socket.destroy();
    });
    const writer = new Http1ResponseWriter(response, answer, {
      method: request.method,
      httpVersion: request.httpVersion,
      mustClose: true,
      requestHeaders: request.headers,
    });
    response.once('finish', () => {
      response.detachSocket(socket);
      this.#linger();
      writer.closed();
    });
    response.once('close', () => writer.closed());
    try {
      writer.start();
    } catch {
      response.detachSocket(socket);
      this.#deps.refuse(socket, { status: 500, reason: 'response head' });
      this.#linger();
    }
  }

  /** What follows the head, while nobody has switched. */
  readonly #hold = (chunk: Buffer): void => {
    if (this.#isAnswered) return;
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    // From here on a client that goes away is noticed only when the answer is written.
    if (this.#earlyBytes >= EARLY_BYTES_MAX) this.#socket.pause();
  };

  /**
   * Ends our side and reads on, within bounds: closing at once would reset the connection, and the
   * reset may overtake the answer.
   */
  #linger(): void {
    const socket = this.#socket;
    this.#early = [];
    let bytes = 0;
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.once('end', () => socket.destroySoon());
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > LINGER_BYTES_MAX) socket.destroy();
    });
    socket.resume();
  }

  /** The client has ended or gone. A handshake that nobody waits for is given up. */
  readonly #gone = (): void => {
    if (!this.#isAnswered) this.#request?.fireAbort();
    if (!this.#socket.destroyed) return;
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deps.over();
  };
}

function abandon(answer: GatewayResponse): void {
  const { body, tunnel } = answer;
  tunnel?.cancel();
  if (body !== null && !(body instanceof Uint8Array)) body.cancel();
  answer.onFinish({ complete: false, bytesSent: 0 });
}

/** The head of a 101 as it goes out; null when a field of it cannot be sent. */
function switchHead({ status, headers }: GatewayResponse): string | null {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.size; i += 1) {
    const name = headers.nameAt(i);
    try {
      validateHeaderName(name);
    } catch {
      return null;
    }
    text += `${name}: ${fieldValue(headers.valueAt(i))}\r\n`;
  }
  return `${text}\r\n`;
}

function ignore(): void {}
