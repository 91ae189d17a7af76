/**
 * A process of its own: the Node listener and transport with nothing between them. Started with the
 * upstream's port; tells its own port, and its memory on request, by IPC.
 */
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { Listener } from '../../node-dp/listener.ts';
import { NodeTransport } from '../../node-dp/transport.ts';

const upstreamPort = Number(process.argv[2]);
const transport = new NodeTransport();
let peakBytes = 0;
setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}, 20).unref();

async function handle(request: GatewayRequest): Promise<GatewayResponse> {
  const { status, headers, body } = await transport.send({
    scheme: 'http',
    host: '127.0.0.1',
    address: null,
    port: upstreamPort,
    httpVersion: '1.1',
    upgrade: null,
    method: request.method,
    target: request.target,
    headers: request.headers.clone(),
    body: request.body,
    connectTimeoutMs: 5000,
    writeTimeoutMs: 30_000,
    readTimeoutMs: 30_000,
    tls: null,
    abort: request.abort,
  });
  return { status, headers, body, tunnel: null, filters: [], onFinish: () => {} };
}

const listener = new Listener({
  listen: { host: '127.0.0.1', port: 0, tls: false },
  tls: null,
  connectionsMax: 100,
  random: nodeRandom,
  handle: (request) =>
    handle(request).catch(() => ({
      status: 502,
      headers: new HeaderList(),
      body: null,
      tunnel: null,
      filters: [],
      onFinish: () => {},
    })),
});

process.on('message', (message) => {
  if (message === 'memory') {
    process.send?.({ rssBytes: process.memoryUsage.rss(), peakBytes });
    peakBytes = process.memoryUsage.rss();
  }
});
const { port } = await listener.start();
process.send?.({ port });
