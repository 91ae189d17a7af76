/** All stream listeners of a data plane, and what they come to together. */
import { listenFailure } from '#shared/platform/node/start-error.ts';
import { handleStream, type StreamOptions } from '#shared/proxy/stream.ts';
import type { Listen } from '#shared/settings/listen.ts';
import type { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import type { ContextFor } from './tcp-session.ts';
import { type StreamListener, type StreamListenerOptions, TcpListener } from './tcp-listener.ts';
import { NodeStreamTransport } from './transport.ts';
import { UdpListener } from './udp-listener.ts';

export interface StreamsOptions extends Omit<StreamOptions, 'transport'> {
  /** Per listener. */
  readonly sessionsMax: number;
  readonly contextFor: ContextFor;
  /** Whether a peer's PROXY header is believed. */
  readonly believesPeer: (address: string) => boolean;
  readonly upstreamTls: UpstreamTlsContexts;
}

export interface StreamFigures {
  readonly active: number;
  /** Since the start. */
  readonly accepted: number;
  readonly datagramsDropped: number;
}

export class Streams {
  readonly #options: StreamsOptions;
  readonly #core: StreamOptions;
  readonly #listeners: StreamListener[] = [];

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#core = { ...options, transport: new NodeStreamTransport(options.upstreamTls) };
  }

  /**
   * Binds a port; answers its address as one reads it: `tcp://127.0.0.1:9000`.
   * @throws StartError
   */
  async listen(listen: Listen): Promise<string> {
    const { sessionsMax, contextFor, believesPeer } = this.#options;
    const options: StreamListenerOptions = {
      listen,
      sessionsMax,
      contextFor,
      believesPeer,
      handle: (session) => handleStream(session, this.#core),
    };
    const listener = listen.udp === true ? new UdpListener(options) : new TcpListener(options);
    try {
      const { host, port } = await listener.start();
      this.#listeners.push(listener);
      const scheme = listen.udp === true ? 'udp' : listen.tls ? 'tls' : 'tcp';
      return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
    } catch (error) {
      throw listenFailure('HEADGATE_STREAM_LISTEN', listen, error);
    }
  }

  get figures(): StreamFigures {
    let [active, accepted, datagramsDropped] = [0, 0, 0];
    for (const listener of this.#listeners) {
      active += listener.sessionCount;
      accepted += listener.acceptedCount;
      if (listener instanceof UdpListener) datagramsDropped += listener.droppedCount;
    }
    return { active, accepted, datagramsDropped };
  }

  async drain(deadlineMs: number): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.drain(deadlineMs)));
  }
}
