/** The Connector port over `ws`: one WebSocket to a control plane. */
import type { connect as netConnect } from 'node:net';
import { WebSocket, type ClientOptions, type RawData } from 'ws';
import type { Connection, ConnectionEvents, Connector } from '#shared/platform/platform.ts';
import { FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';
import type { ClusterLink, Tunneled } from './cluster-link.ts';

const HANDSHAKE_MS = 10_000;
/** A UTF-16 unit takes at most three bytes. */
const PAYLOAD_BYTES_MAX = FRAME_LENGTH_MAX * 3;
/** A frame in more pieces than this is an attack on memory, not a configuration. */
const FRAGMENTS_MAX = 4096;
const BUFFERED_CHUNKS_MAX = 64 * 1024;
/** A peer that does not answer our close is cut off. */
const CLOSE_MS = 2000;
const CODE_VANISHED = 1006;
const CODE_NOT_TEXT = 1003;
const REASON_LENGTH_MAX = 120;

export class NodeConnector implements Connector {
  readonly #link: Pick<ClusterLink, 'tls' | 'tunnel'> | null;

  /** @param link  whom to trust, what to show, and the way; null: as Node does by itself */
  constructor(link: Pick<ClusterLink, 'tls' | 'tunnel'> | null) {
    this.#link = link;
  }

  open(address: string, events: ConnectionEvents): Connection {
    const options: ClientOptions = {
      perMessageDeflate: false,
      maxPayload: PAYLOAD_BYTES_MAX,
      maxFragments: FRAGMENTS_MAX,
      maxBufferedChunks: BUFFERED_CHUNKS_MAX,
      handshakeTimeout: HANDSHAKE_MS,
      followRedirects: false,
      ...this.#link?.tls(),
      ...dialling(address, this.#link?.tunnel),
    };
    return wire(new WebSocket(address, options), events);
  }
}

/** Node asks for a socket and takes it when it is there; its types know only of those that are there. */
function dialling(address: string, tunnel: ClusterLink['tunnel']): ClientOptions {
  if (tunnel === undefined) return {};
  const createConnection = (_options: unknown, done: Tunneled): void => tunnel(address, done);
  return { createConnection: createConnection as unknown as typeof netConnect };
}

function wire(socket: WebSocket, events: ConnectionEvents): Connection {
  let isOver = false;
  let failure = '';
  let closeTimer: NodeJS.Timeout | null = null;
  const over = (code: number, reason: string): void => {
    if (isOver) return;
    isOver = true;
    if (closeTimer !== null) clearTimeout(closeTimer);
    events.close(code, reason);
  };
  socket.on('open', () => events.open());
  socket.on('message', (data, isBinary) => {
    if (isOver) return;
    if (isBinary) socket.close(CODE_NOT_TEXT, 'text only');
    else events.message(textOf(data));
  });
  // `close` always follows; the error's words are the best reason it will have.
  socket.on('error', (error) => (failure = error.message));
  socket.on('close', (code, reason) => over(code, reason.toString() || failure));
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    close: (code, reason) => {
      if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
      else socket.close(code, reason.slice(0, REASON_LENGTH_MAX));
      closeTimer ??= setTimeout(() => {
        socket.terminate();
        over(CODE_VANISHED, 'no answer to close');
      }, CLOSE_MS);
    },
  };
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return data instanceof ArrayBuffer ? Buffer.from(data).toString('utf8') : data.toString('utf8');
}
