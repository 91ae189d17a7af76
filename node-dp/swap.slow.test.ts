import { Agent, get } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import { proxyTo, Started } from './gateway.suite.ts';

const started = new Started();
afterEach(() => started.close());

const CONNECTIONS = 64;
const RUN_MS = 10_000;
const SWAP_INTERVAL_MS = 50;

interface Seen {
  readonly status: number;
  /** Version that the response's header filter was of. */
  readonly filtered: string;
  /** Version that the upstream was asked for. */
  readonly asked: string;
  readonly remaining: number;
}

it('swaps tables under load, and every response is of one version', async () => {
  const upstream = await started.upstream((socket, text) => {
    const path = text.split(' ', 2)[1] ?? '';
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
  });
  const config = proxyTo(upstream.port);
  const service = config.service({ host: '127.0.0.1', port: upstream.port, path: '/v0' });
  const route = config.route({ paths: ['/version'], service: { id: service.id } });
  const scope = { route: { id: route.id } };
  config.plugin('rate-limiting', { year: 100_000_000, policy: 'local' }, scope);
  const marker = config.plugin('response-transformer', {}, scope);
  let version = 0;
  const next = (): void => {
    version += 1;
    config.put('services', { ...service, path: `/v${version}` });
    config.add('plugins', {
      ...marker,
      config: { add: { headers: [`x-version:/v${version}`] } },
    });
  };
  next();
  let tables = config.tables();
  const gateway = await started.gateway(tables);

  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const seen: Seen[] = [];
  const end = performance.now() + RUN_MS;
  const swapping = setInterval(() => {
    next();
    tables = config.tables(tables);
    gateway.swap(tables);
  }, SWAP_INTERVAL_MS);
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      // A client sends one request after the other.
      seen.push(await ask(gateway.port, agent));
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  clearInterval(swapping);

  expect(version).toBeGreaterThan(RUN_MS / SWAP_INTERVAL_MS / 2);
  expect(seen.filter(({ status }) => status !== 200)).toEqual([]);
  expect(seen.filter(({ filtered, asked }) => filtered !== asked)).toEqual([]);
  expect(gateway.listener.connectionCount).toBe(CONNECTIONS);
  // Too many to spread: a quick machine sees more than a call takes arguments.
  const remaining = seen.reduce((least, each) => Math.min(least, each.remaining), Infinity);
  expect(remaining).toBe(100_000_000 - seen.length);
  agent.destroy();
});

function ask(port: number, agent: Agent): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path: '/version', agent }, (response) => {
      let asked = '';
      response.setEncoding('latin1');
      response.on('data', (text: string) => (asked += text));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          filtered: String(response.headers['x-version']),
          asked,
          remaining: Number(response.headers['x-ratelimit-remaining-year']),
        }),
      );
    });
    request.on('error', reject);
  });
}
