/**
 * A client's connection: what is true of all its requests, and whose turn it is. Requests that come in
 * behind one another are carried out one after the other: Node would start them all at once, and a
 * client could have thousands in flight on one connection.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { DownstreamTls } from '#shared/http/message.ts';
import type { NodeRequest } from './request.ts';
import type { ResponseWriter } from './response.ts';

/** Requests that may wait behind the one that is being answered. */
export const PIPELINED_MAX = 128;

/** One request and its response, from the head on until the response is over. */
export class Turn {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  /** Null until the gateway is asked. */
  request: NodeRequest | null = null;
  /** Null until the gateway has answered. */
  writer: ResponseWriter | null = null;

  constructor(message: IncomingMessage, response: ServerResponse) {
    this.message = message;
    this.response = response;
  }
}

export class ClientConnection {
  readonly scheme: 'http' | 'https';
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly tls: DownstreamTls | null;
  /** What is being carried out. */
  current: Turn | null = null;
  readonly waiting: Turn[] = [];
  /** Nothing more is read as a request: what came was refused, or was no request. */
  isClosing = false;

  constructor(socket: Socket) {
    const isTls = socket instanceof TLSSocket;
    this.scheme = isTls ? 'https' : 'http';
    this.peerAddress = unmapped(socket.remoteAddress ?? '');
    this.peerPort = socket.remotePort ?? 0;
    this.localAddress = unmapped(socket.localAddress ?? '');
    this.localPort = socket.localPort ?? 0;
    this.tls = isTls ? readTls(socket) : null;
  }

  /** True: the response that is being written is the last one. */
  get isLast(): boolean {
    return this.isClosing && this.waiting.length === 0;
  }

  /**
   * What followed the requests so far is not one. Those get their answers, and then it ends. False
   * when the fault is in the one that is being carried out.
   */
  endsAfterCurrent(): boolean {
    if (this.current === null || !this.current.message.complete) return false;
    this.isClosing = true;
    const last = this.waiting.at(-1);
    if (last !== undefined && !last.message.complete) this.waiting.pop();
    return true;
  }
}

const connections = new WeakMap<Socket, ClientConnection>();

export function connectionOf(socket: Socket): ClientConnection {
  const known = connections.get(socket);
  if (known !== undefined) return known;
  const connection = new ClientConnection(socket);
  connections.set(socket, connection);
  return connection;
}

function readTls(socket: TLSSocket): DownstreamTls {
  // Node's type leaves out the name that the client asked for; `false` means none.
  const name = (socket as { servername?: string | false | null }).servername;
  return {
    serverName: typeof name === 'string' && name !== '' ? name : null,
    version: socket.getProtocol() ?? 'unknown',
  };
}

/** `::ffff:10.0.0.1` is 10.0.0.1 as a dual-stack socket reports it. */
function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
