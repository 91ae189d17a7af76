/**
 * Targets that fail in every way they can, under load: each client gets the answer to its own request,
 * or is told in Kong's words that there is none, or sees that what it got is not whole.
 */
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { TestConfig } from '../test/support/builders.ts';
import { eventually } from '../test/support/eventually.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { type RawUpstream, Started } from './gateway.suite.ts';

const started = new Started();
afterEach(() => started.close());

const CLIENTS = 32;
const REQUESTS = 3000;
const READ_TIMEOUT_MS = 400;
const BODY = 'b'.repeat(200_000);

type Answer = (socket: Socket, id: string) => void;

function whole(id: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${id.length}\r\n\r\n${id}`;
}

const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';

/** What a target does with the head of a request. */
const WAYS: Readonly<Record<string, Answer>> = {
  well: (socket, id) => socket.write(whole(id)),
  dies: (socket) => socket.destroy(),
  resets: (socket) => socket.resetAndDestroy(),
  hangs: () => {},
  'resets midway': (socket, id) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${id}`, () => {
      setTimeout(() => socket.resetAndDestroy(), 5);
    });
  },
  'ends midway': (socket, id) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${id}`),
  garbage: (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n\r\n'),
  'answers early': (socket) => socket.write('HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\nearly'),
  'says too much': (socket, id) => socket.write(whole(id) + EVIL),
  'closes behind': (socket, id) => socket.end(whole(id)),
};

/** Answers each request by its head, once. */
async function startTarget(answer: Answer): Promise<RawUpstream> {
  return started.upstream((socket, text) => {
    const id = /^(?:GET|POST) \/(\d+)/.exec(text)?.[1];
    if (id !== undefined) answer(socket, id);
  });
}

interface Got {
  readonly id: string;
  readonly method: string;
  /** 0: not one byte of an answer. */
  readonly status: number;
  readonly body: string;
  /** As long as it says. */
  readonly isWhole: boolean;
}

/** One request on a connection of its own: what comes back is this request's, or nobody's. */
function ask(port: number, id: string, method: string): Promise<Got> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    const finish = (): void => {
      socket.destroy();
      const status = Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? 0);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? -1);
      const split = text.indexOf('\r\n\r\n');
      const body = split < 0 ? '' : text.slice(split + 4);
      resolve({ id, method, status, body, isWhole: body.length === length });
    };
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', finish);
    socket.write(`${method} /${id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`);
    if (method === 'POST') socket.write(`Content-Length: ${BODY.length}\r\n\r\n${BODY}`);
    else socket.write('\r\n');
  });
}

async function askMany(port: number, count: number, method: (i: number) => string): Promise<Got[]> {
  const got: Got[] = [];
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      got.push(await ask(port, `${1_000_000 + next}`, method(next)));
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return got;
}

const TEXTS: ReadonlyMap<number, string> = new Map([
  [502, 'An invalid response was received from the upstream server'],
  [503, 'failure to get a peer from the ring-balancer'],
  [504, 'The upstream server is timing out'],
]);

/** Null: a client could not ask for better. */
function complaintAbout({ id, status, body, isWhole }: Got): string | null {
  if (status === 200 && isWhole) return body === id ? null : `another answer: ${body}`;
  // A head that promised more than came.
  if (status === 200) return body === id ? null : `another part: ${body}`;
  if (status === 413) return body === 'early' && isWhole ? null : `another refusal: ${body}`;
  const text = TEXTS.get(status);
  if (text === undefined) return `status ${status}`;
  return isWhole && body.includes(text) ? null : `another text: ${body}`;
}

function poolOf(
  ports: readonly number[],
  service: JsonObject,
  healthchecks: JsonObject = {},
): TestConfig {
  const config = new TestConfig();
  const upstream = config.add('upstreams', { name: 'pool.test', healthchecks });
  for (const port of ports) {
    config.add('targets', { target: `127.0.0.1:${port}`, upstream: { id: upstream.id } });
  }
  const { id } = config.service({ host: 'pool.test', read_timeout: READ_TIMEOUT_MS, ...service });
  config.route({ paths: ['/'], strip_path: false, service: { id } });
  return config;
}

/** Out of step with targets that take turns. */
const mixed = (i: number): string => (i % 3 === 0 ? 'POST' : 'GET');

describe('under load, targets that fail', () => {
  it.each(Object.keys(WAYS))('(one %s) confuse nobody', async (way) => {
    const answer = WAYS[way] ?? (() => {});
    const bad = await startTarget(answer);
    const good = await startTarget(WAYS['well'] ?? (() => {}));
    const config = poolOf([bad.port, good.port], { retries: 2 });
    const { port } = await started.gateway(config.tables());

    const got = await askMany(port, way === 'hangs' ? 300 : 1000, mixed);

    expect(got.map(complaintAbout).filter((complaint) => complaint !== null)).toEqual([]);
    const gets = got.filter(({ method }) => method === 'GET');
    const lost = gets.filter(({ status, isWhole }) => status !== 200 || !isWhole);
    // What may be asked again is, of the other; a broken answer has begun, and garbage is one.
    const mayLose = ['resets midway', 'ends midway', 'garbage', 'answers early'];
    if (!mayLose.includes(way)) expect(lost).toEqual([]);
    else expect(lost.length).toBeGreaterThan(0);
  });

  it('in all ways at once are ejected, and the rest serve everybody', async () => {
    const ways = Object.entries(WAYS);
    const ejected = new Set(['dies', 'resets', 'hangs', 'garbage']);
    const seen = new Map<string, number>();
    const targets = await Promise.all(
      ways.map(([way, answer]) =>
        startTarget((socket, id) => {
          seen.set(way, (seen.get(way) ?? 0) + 1);
          answer(socket, id);
        }),
      ),
    );
    const passive = { unhealthy: { tcp_failures: 3, timeouts: 3, http_failures: 0 } };
    const config = poolOf(
      targets.map(({ port }) => port),
      { retries: 5 },
      { passive },
    );
    const { port } = await started.gateway(config.tables());

    const got = await askMany(port, REQUESTS, mixed);

    expect(got.map(complaintAbout).filter((complaint) => complaint !== null)).toEqual([]);
    for (const way of ejected) {
      // The threshold, and what was under way when it was reached.
      expect(seen.get(way) ?? 0, way).toBeGreaterThanOrEqual(3);
      expect(seen.get(way) ?? 0, way).toBeLessThanOrEqual(3 + CLIENTS);
    }
    const late = got.slice(-500).map(({ status }) => status);
    expect(new Set(late)).toEqual(new Set([200, 413]));
  });

  it('one after the other get no more than the threshold', async () => {
    const bad = await startTarget((socket) => socket.destroy());
    const good = await startTarget(WAYS['well'] ?? (() => {}));
    const passive = { unhealthy: { tcp_failures: 3 } };
    const config = poolOf([bad.port, good.port], { retries: 1 }, { passive });
    const { port } = await started.gateway(config.tables());
    for (let i = 0; i < 50; i += 1) {
      expect((await ask(port, `${i + 10}`, 'GET')).status).toBe(200);
    }
    expect(bad.connections).toHaveLength(3);
  });

  it('are asked again when they were taken back', async () => {
    let isWell = false;
    const target = await startTarget((socket, id) => {
      if (isWell) socket.write(whole(id));
      else socket.destroy();
    });
    const passive = { unhealthy: { tcp_failures: 2 } };
    const config = poolOf([target.port], { retries: 0 }, { passive });
    const tables = config.tables();
    const { port } = await started.gateway(tables);
    const statusOf = async (): Promise<number> => (await ask(port, '1', 'GET')).status;
    expect([await statusOf(), await statusOf(), await statusOf()]).toEqual([502, 502, 503]);

    isWell = true;
    const state = tables.parts.env.health.find(config.ws, 'pool.test');
    state?.setHealth(`127.0.0.1:${target.port}`, null, true);
    await eventually('an answer', async () => (await statusOf()) === 200);
  });
});
