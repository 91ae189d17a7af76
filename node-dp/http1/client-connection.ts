/**
 * A client's connection: what is true of all its requests, and whose turn it is. Requests that come in
 * behind one another are carried out one after the other: Node would start them all at once, and a
 * client could have thousands in flight on one connection.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { assert } from '#shared/base/assert.ts';
import type { ConnectionFacts } from '../connection-facts.ts';
import type { NodeRequest } from '../request.ts';
import type { ResponseWriter } from '../response-writer.ts';

/** Requests that may wait behind the one that is being answered. */
export const PIPELINED_MAX = 128;

/** One request and its response, from the head on until the response is over. */
export class Turn {
  readonly connection: ClientConnection;
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  /** Null until the gateway is asked. */
  request: NodeRequest | null = null;
  /** Null until the gateway has answered. */
  writer: ResponseWriter | null = null;

  constructor(connection: ClientConnection, message: IncomingMessage, response: ServerResponse) {
    this.connection = connection;
    this.message = message;
    this.response = response;
  }
}

export class ClientConnection {
  readonly facts: ConnectionFacts;
  /** What is being carried out. */
  current: Turn | null = null;
  readonly waiting: Turn[] = [];
  /** Nothing more is read as a request: what came was refused, or was no request. */
  isClosing = false;

  constructor(facts: ConnectionFacts) {
    this.facts = facts;
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

export function beginConnection(socket: Socket, facts: ConnectionFacts): void {
  connections.set(socket, new ClientConnection(facts));
}

export function connectionOf(socket: Socket): ClientConnection {
  const connection = connections.get(socket);
  assert(connection !== undefined, 'a connection that was not begun');
  return connection;
}
