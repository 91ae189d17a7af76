/** Stream listeners, core and transport on loopback, with upstreams of their own. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { must } from '#shared/base/assert.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { handleStream } from '#shared/proxy/stream.ts';
import type { StreamLogEntry } from '#shared/proxy/stream-context.ts';
import type { Tables } from '#shared/tables/tables.ts';
import type { TestConfig } from '../../test/support/builders.ts';
import type { TestCertificate } from '../../test/support/certificates.ts';
import { createPlatform } from '../platform.ts';
import { TcpListener, type StreamListenerOptions } from './tcp-listener.ts';
import { NodeStreamTransport } from './transport.ts';
import { UdpListener } from './udp-listener.ts';

export interface RunningStreams {
  readonly port: number;
  readonly log: StreamLogEntry[];
  readonly listener: TcpListener | UdpListener;
  swap(tables: Tables): void;
}

/** Everything that one test started, to be closed after it. */
export class StartedStreams {
  readonly #open: (() => void | Promise<void>)[] = [];

  /** An upstream that does as it is told; answers its port. */
  async tcpUpstream(serve: (socket: Socket) => void): Promise<number> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      serve(socket);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    this.later(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return (server.address() as AddressInfo).port;
  }

  async udpSocket(): Promise<DatagramSocket> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => {
      socket.bind(0, '127.0.0.1', resolve);
    });
    this.later(() => void socket.close());
    return socket;
  }

  async streams(
    tables: Tables,
    flags: { readonly tls?: TestCertificate; readonly udp?: boolean } = {},
    changes: Partial<StreamListenerOptions> = {},
  ): Promise<RunningStreams> {
    const platform = createPlatform({ log() {} }, []);
    const log: StreamLogEntry[] = [];
    let current = tables;
    const options = {
      platform,
      transport: new NodeStreamTransport(platform.upstreamTls),
      tables: () => current,
      upstreamActiveMax: 10_000,
      targetActiveMax: 10_000,
      accessLog: (entry: StreamLogEntry) => log.push(entry),
    };
    const { tls, udp = false } = flags;
    const context =
      tls === undefined ? null : createSecureContext({ cert: tls.cert, key: tls.key });
    const listenerOptions: StreamListenerOptions = {
      listen: { host: '127.0.0.1', port: 0, tls: tls !== undefined, udp },
      sessionsMax: 1000,
      contextFor: () => context,
      believesPeer: () => false,
      handle: (session) => handleStream(session, options),
      ...changes,
    };
    const listener = udp ? new UdpListener(listenerOptions) : new TcpListener(listenerOptions);
    const { port } = await listener.start();
    this.later(async () => {
      await listener.drain(0);
      await platform.close(0);
    });
    return { port, log, listener, swap: (next) => (current = next) };
  }

  client(port: number): Client {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    this.later(() => void socket.destroy());
    return new Client(socket);
  }

  later(close: () => void | Promise<void>): void {
    this.#open.push(close);
  }

  async close(): Promise<void> {
    while (this.#open.length > 0) await must(this.#open.pop(), 'something to close')();
  }
}

/** One end of a connection, and what it has heard. */
export class Client {
  readonly socket: Socket;
  text = '';
  hasEnded = false;
  /** The other side has ended, or reset it. */
  isOver = false;
  error: Error | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
    socket.on('end', () => (this.hasEnded = this.isOver = true));
    socket.on('close', () => (this.isOver = true));
    socket.on('error', (error) => (this.error = error));
  }
}

/** A route of connections to a service on loopback. Matches everything unless told otherwise. */
export function streamRoute(
  config: TestConfig,
  port: number,
  route: JsonObject = {},
  service: JsonObject = {},
): void {
  const { id } = config.service({
    host: '127.0.0.1',
    port,
    protocol: 'tcp',
    retries: 0,
    ...service,
  });
  config.route({
    protocols: ['tcp'],
    sources: [{ ip: '127.0.0.1' }],
    service: { id },
    ...route,
  });
}
