/**
 * What stands in front of Neon's databases: a WebSocket that carries the bytes of one Postgres
 * connection. The target is fixed; the address that a client asks for is ignored.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { neonConfig } from '@neondatabase/serverless';
import { type WebSocket, WebSocketServer } from 'ws';

export interface NeonBridge {
  /** `host:port/path`, for `neonConfig.wsProxy`. */
  readonly proxy: string;
  stop(): Promise<void>;
}

/** Starts a bridge to a local server, and points Neon's driver in this process at it. */
export async function startNeonBridge(port: number): Promise<NeonBridge> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/v2' });
  await once(server, 'listening');
  server.on('connection', (socket) => pipe(socket, port));
  const address = server.address();
  if (typeof address === 'string' || address === null) throw new Error('no port');
  const proxy = `127.0.0.1:${address.port}/v2`;
  neonConfig.wsProxy = () => proxy;
  neonConfig.useSecureWebSocket = false;
  neonConfig.pipelineTLS = false;
  // Guessing the authentication works only with Neon's own proxy, not with SCRAM.
  neonConfig.pipelineConnect = false;
  return {
    proxy,
    async stop() {
      for (const client of server.clients) client.terminate();
      server.close();
      await once(server, 'close');
    },
  };
}

function pipe(socket: WebSocket, port: number): void {
  const upstream = connect(port, '127.0.0.1');
  socket.on('message', (data: Buffer) => upstream.write(data));
  socket.on('close', () => upstream.destroy());
  socket.on('error', () => upstream.destroy());
  upstream.on('data', (data) => socket.send(data));
  upstream.on('close', () => socket.close());
  upstream.on('error', () => socket.terminate());
}
