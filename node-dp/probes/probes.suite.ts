/** Servers to be probed, and an Upstream with targets as a data plane serves it. */
import { createServer as createHttp, type Server as HttpServer } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import {
  type Metadata,
  Server as GrpcServer,
  ServerCredentials,
  status as GrpcStatus,
} from '@grpc/grpc-js';
import { must } from '#shared/base/assert.ts';
import type { UpstreamState } from '#shared/balancer/upstream-state.ts';
import type { PemPair } from '#shared/platform/node/tls/self-signed.ts';
import { selfSigned } from '#shared/platform/node/tls/self-signed.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { HealthRegistry } from '#shared/health/registry.ts';
import { TestConfig } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';

export interface ProbedServer {
  readonly port: number;
  /** Heads of the requests, or bytes where there are none. */
  readonly seen: string[];
  connectionCount: number;
  close(): Promise<void>;
}

/** Answers with `answer()`, as it stands, whatever comes; null: with nothing. */
export async function startRaw(answer: () => string | null): Promise<ProbedServer> {
  const sockets = new Set<Socket>();
  const seen: string[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      seen.push(chunk.toString('latin1'));
      const text = answer();
      if (text !== null) socket.write(text, 'latin1');
    });
  });
  return listening(server, seen, () => {
    for (const socket of sockets) socket.destroy();
  });
}

/** Answers every request with `status()`. */
export function startHttp(status: () => number, tls: PemPair | null = null): Promise<ProbedServer> {
  const seen: string[] = [];
  const handle: Parameters<typeof createHttp>[1] = (request, response) => {
    const { method, url, rawHeaders } = request;
    const fields = rawHeaders.map((text, i) => (i % 2 === 0 ? `\n${text}: ` : text));
    seen.push(`${method} ${url}${fields.join('')}`);
    response.writeHead(status()).end();
  };
  const server: HttpServer = tls === null ? createHttp(handle) : createHttps(tls, handle);
  return listening(server, seen, () => server.closeAllConnections());
}

async function listening(server: Server, seen: string[], drop: () => void): Promise<ProbedServer> {
  server.on('connection', () => (probed.connectionCount += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    drop();
    await closed;
  };
  const probed = { port, seen, connectionCount: 0, close };
  return probed;
}

export interface GrpcHealthServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `0` unknown, `1` serving, `2` not serving; null: it has no health service. */
export async function startGrpc(
  status: () => number | null,
  tls: PemPair | null = null,
  onCall: (metadata: object) => void = () => {},
): Promise<GrpcHealthServer> {
  const server = new GrpcServer();
  const bytes = (value: Buffer): Buffer => value;
  server.addService(
    {
      Check: {
        path: '/grpc.health.v1.Health/Check',
        requestStream: false,
        responseStream: false,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    },
    {
      Check: (
        call: { metadata: Metadata },
        answer: (error: object | null, value?: Buffer) => void,
      ) => {
        onCall(call.metadata.getMap());
        const value = status();
        if (value === null) answer({ code: GrpcStatus.UNIMPLEMENTED, details: 'no health here' });
        else answer(null, Buffer.from([0x08, value]));
      },
    },
  );
  const credentials =
    tls === null
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) },
        ]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    port,
    close: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

export function certificateFor(...hosts: string[]): PemPair {
  const day = 86_400_000;
  return selfSigned({
    name: 'probed',
    hosts,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
  });
}

/** A port at which nothing listens. */
export async function deadPort(): Promise<number> {
  const server = await startRaw(() => null);
  await server.close();
  return server.port;
}

/** A configuration with one Upstream, `pool.test`, that changes version by version. */
export class ProbedUpstream {
  readonly config = new TestConfig();
  readonly health = new HealthRegistry();
  readonly gateway = new TestGateway(null);
  tables: Tables | null = null;
  #upstreamId: string;
  readonly #targetIds = new Map<string, string>();

  constructor(
    active: JsonObject,
    targets: readonly string[],
    more: JsonObject = {},
    passive: JsonObject = {},
  ) {
    const input = { name: 'pool.test', healthchecks: { active, passive }, ...more };
    this.#upstreamId = this.config.add('upstreams', input).id;
    for (const target of targets) this.add(target);
  }

  add(target: string, weight = 100): void {
    const upstream = { id: this.#upstreamId };
    this.#targetIds.set(target, this.config.add('targets', { target, weight, upstream }).id);
  }

  remove(target: string): void {
    this.config.remove('targets', must(this.#targetIds.get(target), `no ${target}`));
  }

  replace(active: JsonObject): void {
    this.config.remove('upstreams', this.#upstreamId);
    const input = { id: this.#upstreamId, name: 'pool.test', healthchecks: { active } };
    this.config.add('upstreams', input);
  }

  removeUpstream(): void {
    this.config.remove('upstreams', this.#upstreamId);
  }

  /** Serves the configuration as it is now. */
  swap(): Tables {
    this.tables = this.config.tables(this.tables, { health: this.health });
    this.gateway.gateway.swap(this.tables);
    return this.tables;
  }

  get state(): UpstreamState {
    return must(this.health.find(this.config.ws, 'pool.test'), 'the Upstream is served');
  }

  /** Health by address. */
  words(): Record<string, string> {
    const snapshot = this.health.snapshot(this.config.ws, 'pool.test', 0);
    return Object.fromEntries(
      (snapshot?.targets ?? []).map(({ target, health }) => [target, health]),
    );
  }
}
