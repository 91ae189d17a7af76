/** A TCP proxy in front of PostgreSQL that can break connections at a chosen moment. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** What happens to the next COMMIT: it passes, is lost on the way, or its answer is. */
export type Cut = 'none' | 'before' | 'after';

export interface CuttingProxy {
  readonly port: number;
  cut: Cut;
  /** Breaks all connections, and refuses new ones while `isDown`. */
  isDown: boolean;
  breakAll(): void;
  stop(): Promise<void>;
}

/** A simple query message: type, length, text, NUL. */
const COMMIT = Buffer.concat([
  Buffer.from('Q'),
  Buffer.from([0, 0, 0, 11]),
  Buffer.from('COMMIT\0'),
]);

export async function startCuttingProxy(target: number): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (proxy.isDown) {
      client.destroy();
      return;
    }
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let isCut = false;
    client.on('data', (data: Buffer) => {
      if (proxy.cut !== 'none' && data.includes(COMMIT)) {
        isCut = true;
        if (proxy.cut === 'before') {
          client.destroy();
          return;
        }
      }
      upstream.write(data);
    });
    upstream.on('data', (data: Buffer) => {
      // The server has answered, so the commit has happened; the client never learns.
      if (isCut) client.destroy();
      else client.write(data);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const proxy: CuttingProxy = {
    port: address.port,
    cut: 'none',
    isDown: false,
    breakAll() {
      for (const socket of sockets) socket.destroy();
    },
    async stop() {
      proxy.breakAll();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}
