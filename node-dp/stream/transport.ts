/** Connections and datagram sockets to upstreams that are not asked by requests. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import {
  UpstreamError,
  type StreamTransport,
  type StreamUpstream,
  type Tunnel,
  type UpstreamFailure,
} from '#shared/platform/platform.ts';
import type { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import { SocketTunnel } from '../tunnel.ts';

const TCP_KEEP_ALIVE_DELAY_MS = 60_000;

/** The upstream's side of a UDP session. */
export class DatagramTunnel implements Tunnel {
  /** Connected: it hears of nobody else. */
  readonly socket: DatagramSocket;
  /** Longest silence, either way. */
  readonly idleMs: number;

  constructor(socket: DatagramSocket, idleMs: number) {
    this.socket = socket;
    this.idleMs = idleMs;
  }

  cancel(): void {
    this.socket.close();
  }
}

export class NodeStreamTransport implements StreamTransport {
  readonly #tls: UpstreamTlsContexts;

  /** @param tls  whom we trust where no entity says whom */
  constructor(tls: UpstreamTlsContexts) {
    this.#tls = tls;
  }

  connect(upstream: StreamUpstream): Promise<Tunnel> {
    if (upstream.abort.aborted) return Promise.reject(new UpstreamError('aborted', false));
    return upstream.protocol === 'udp'
      ? openDatagrams(upstream)
      : openConnection(upstream, this.#tls);
  }
}

function openConnection(upstream: StreamUpstream, contexts: UpstreamTlsContexts): Promise<Tunnel> {
  return new Promise((resolve, reject) => {
    const socket = dial(upstream, contexts);
    const { connectTimeoutMs, readTimeoutMs: idleMs, writeTimeoutMs: stallMs } = upstream;
    let isOver = false;
    const over = (failure: UpstreamFailure | null, cause?: unknown): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      unsubscribe();
      if (failure === null) {
        resolve(new SocketTunnel(socket, { idleMs, stallMs }));
        return;
      }
      socket.destroy();
      reject(new UpstreamError(failure, false, cause));
    };
    const timer = setTimeout(() => over('connect_timeout'), connectTimeoutMs);
    const unsubscribe = upstream.abort.onAbort(() => over('aborted'));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_DELAY_MS);
    socket.once(upstream.tls === null ? 'connect' : 'secureConnect', () => over(null));
    socket.on('error', (error) => over(failureOf(error), error));
    socket.once('close', () => over('connect'));
  });
}

function dial(upstream: StreamUpstream, contexts: UpstreamTlsContexts): Socket {
  const { host, port, tls } = upstream;
  const address = upstream.address ?? host;
  if (tls === null) return connectTcp({ host: address, port, allowHalfOpen: true });
  return contexts.opener({ host, address, port, tls, alpn: [], allowHalfOpen: true })();
}

function failureOf(error: Error): UpstreamFailure {
  const code = 'code' in error ? error.code : null;
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NONAME':
    case 'EAI_NODATA':
      return 'resolve';
    case 'ETIMEDOUT':
      return 'connect_timeout';
    default:
      return 'connect';
  }
}

function openDatagrams({ host, address, port, ...upstream }: StreamUpstream): Promise<Tunnel> {
  const to = address ?? host;
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(to) === 6 ? 'udp6' : 'udp4');
    const failed = (error: Error): void => {
      socket.close();
      reject(new UpstreamError(failureOf(error), false, error));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(new DatagramTunnel(socket, upstream.readTimeoutMs));
    });
    // Without a callback: one would be given the errors, and called as if all were well.
    socket.connect(port, to);
  });
}
