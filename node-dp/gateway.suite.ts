/** The real request path on loopback: listener, core and transport, before an upstream of raw bytes. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { must } from '#shared/base/assert.ts';
import { PROXY_SETTINGS_DEFAULT } from '#shared/proxy/settings.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { AccessLogEntry } from '#shared/proxy/log-entry.ts';
import { Gateway } from '#shared/proxy/gateway.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { TestConfig } from '../test/support/builders.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import type { DnsResolver } from './dns/resolver.ts';
import { createPlatform } from './platform.ts';

const SILENT: Logger = { log() {} };

export interface RawUpstream {
  readonly port: number;
  readonly connections: readonly Socket[];
  /** Everything it was sent, Latin-1. */
  readonly text: string;
  close(): void;
}

/** `answer` gets the bytes of one read, and writes to the socket what it likes. */
export async function startRawUpstream(
  answer: (socket: Socket, text: string) => void,
): Promise<RawUpstream> {
  const connections: Socket[] = [];
  let text = '';
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const part = chunk.toString('latin1');
      text += part;
      answer(socket, part);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    get text() {
      return text;
    },
    close: () => {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

export interface RunningGateway {
  readonly port: number;
  readonly listener: Listener;
  swap(tables: Tables): void;
  close(): Promise<void>;
}

export async function startGateway(
  tables: Tables,
  changes: Partial<ListenerOptions> = {},
  accessLog: ((entry: AccessLogEntry) => void) | null = null,
  resolver: DnsResolver | null = null,
): Promise<RunningGateway> {
  const platform = createPlatform(SILENT, [], resolver);
  const gateway = new Gateway({
    platform,
    settings: PROXY_SETTINGS_DEFAULT,
    accessLog,
  });
  gateway.swap(tables);
  const listener = new Listener({
    listen: { host: '127.0.0.1', port: 0, tls: false },
    tls: null,
    connectionsMax: 1000,
    random: nodeRandom,
    handle: (request) => gateway.handle(request),
    ...changes,
  });
  const { port } = await listener.start();
  return {
    port,
    listener,
    swap: (next) => gateway.swap(next),
    close: async () => {
      await listener.drain(0);
      await platform.close(0);
    },
  };
}

/** One route on `/` to an upstream on loopback. */
export function proxyTo(port: number, service: JsonObject = {}): TestConfig {
  const config = new TestConfig();
  const { id } = config.service({ host: '127.0.0.1', port, retries: 0, ...service });
  config.route({ paths: ['/'], service: { id } });
  return config;
}

/** Everything that tests of one file started, to be closed after each. */
export class Started {
  readonly #open: (() => void | Promise<void>)[] = [];

  async upstream(answer: (socket: Socket, text: string) => void): Promise<RawUpstream> {
    const upstream = await startRawUpstream(answer);
    this.#open.push(() => upstream.close());
    return upstream;
  }

  async gateway(
    tables: Tables,
    changes: Partial<ListenerOptions> = {},
    accessLog: ((entry: AccessLogEntry) => void) | null = null,
  ): Promise<RunningGateway> {
    const gateway = await startGateway(tables, changes, accessLog);
    this.#open.push(() => gateway.close());
    return gateway;
  }

  async close(): Promise<void> {
    while (this.#open.length > 0) await must(this.#open.pop(), 'something to close')();
  }
}
