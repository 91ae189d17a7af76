/** An HTTP forward proxy that knows CONNECT and wants a password, as companies have them. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

export class ForwardProxy {
  /** Authorities that tunnels were opened to. */
  readonly tunnels: string[] = [];
  /** Requests that were refused for want of the password. */
  refused = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(user: string, password: string): Promise<ForwardProxy> {
    const expected = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    const server = createServer((_request, response) => {
      response.writeHead(405).end();
    });
    const proxy = new ForwardProxy(server);
    server.on('connect', (request, client: Socket, head) => {
      client.on('error', () => {});
      if (request.headers['proxy-authorization'] !== expected) {
        proxy.refused++;
        client.end(
          'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n',
        );
        return;
      }
      const { hostname, port } = new URL(`http://${request.url ?? ''}`);
      proxy.tunnels.push(request.url ?? '');
      const upstream = connect(Number(port), hostname.replace(/^\[|\]$/g, ''), () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        if (head.length > 0) upstream.write(head);
        client.pipe(upstream).pipe(client);
      });
      for (const socket of [client, upstream]) {
        proxy.#sockets.add(socket);
        socket.once('close', () => proxy.#sockets.delete(socket));
      }
      upstream.on('error', () => client.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    // A listening TCP server's address is an object.
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
