import { describe, expect, it } from 'vitest';
import {
  ScriptedSession,
  testRecord,
  type ScriptedControlPlane,
} from '../../test/support/scripted-control-plane.ts';
import { CLOSE } from '../wire/close-codes.ts';
import { RETRY_MS_MAX, SLOW_RETRY_MS_MIN } from './backoff.ts';
import { World } from './client.suite.ts';
import { HANDSHAKE_MS_MAX } from './machine.ts';
import { connectorByScheme, PullConnector, QUIET_MS, type FetchJson } from './pull-connection.ts';

const ADDRESS = 'https://cp.test';
const PULL_URL = 'https://cp.test/headgate/v1/pull';

/** The control plane's side of pull: each exchange is a session of its own. */
class PullServer {
  readonly nonces = new Set<string>();
  readonly exchanges: { method: string; url: string; atMs: number }[] = [];
  /** What the next exchange answers instead. */
  answer: (() => { status: number; text: string; retryAfterSeconds?: number }) | null = null;
  readonly #cp: ScriptedControlPlane;
  readonly #now: () => number;

  constructor(cp: ScriptedControlPlane, now: () => number) {
    this.#cp = cp;
    this.#now = now;
  }

  readonly fetchJson: FetchJson = async (method, url, body) => {
    this.exchanges.push({ method, url, atMs: this.#now() });
    if (this.answer !== null) return this.answer();
    if (method === 'GET') {
      const nonce = this.#cp.nonce();
      this.nonces.add(nonce);
      return { status: 200, text: JSON.stringify(this.#cp.challenge(nonce)) };
    }
    const { hello, frames } = JSON.parse(body ?? '');
    if (!this.nonces.delete(hello.nonce)) return { status: 401, text: '{}' };
    const sent: string[] = [];
    let status = 200;
    const end = {
      address: url,
      send: (text: string) => sent.push(text),
      close: (code: number) => {
        status = code === CLOSE.unauthorized ? 401 : 400;
      },
    };
    const session = new ScriptedSession(this.#cp, end, hello.nonce);
    for (const frame of [hello, ...frames]) session.receive(JSON.stringify(frame));
    await session.idle();
    this.#cp.sessions.delete(session);
    return { status, text: `{"frames":[${sent.join(',')}]}` };
  };

  count(method: string): number {
    return this.exchanges.filter((exchange) => exchange.method === method).length;
  }
}

async function pullingWorld(seed: number): Promise<{ world: World; server: PullServer }> {
  const world = await World.create(seed);
  const server = new PullServer(world.cp, () => world.clock.monotonic());
  const pull = new PullConnector(server.fetchJson, world.clock);
  await world.restart({
    controlPlanes: [ADDRESS],
    connector: connectorByScheme(world.network, pull),
  });
  return { world, server };
}

const records = (count: number) => Array.from({ length: count }, (_, i) => testRecord(`r${i}`));

describe('a data plane that pulls', () => {
  it('enrols, fetches, serves and acknowledges by exchanges alone', async () => {
    const { world, server } = await pullingWorld(1);
    await world.cp.publish(records(1000));
    world.client.start();
    await world.clock.until(() => world.heard('ack').length > 0);

    expect(world.client.status().hash).toBe(world.cp.head?.position.hash);
    expect(world.heard('enrol')).toHaveLength(1);
    expect(world.cp.nodes.size).toBe(1);
    expect(new Set(server.exchanges.map(({ url }) => url))).toEqual(new Set([PULL_URL]));
    expect(world.network.dialled).toEqual([]);
  });

  it('learns of a change within the poll interval, by one delta', async () => {
    const { world } = await pullingWorld(2);
    await world.cp.publish(records(300));
    world.client.start();
    await world.clock.until(() => world.heard('ack').length > 0);
    const wanted = world.heard('want').length;
    await world.clock.advance(QUIET_MS + 100);
    await world.cp.publish([testRecord('r1', 2)]);
    const { hash } = world.cp.head?.position ?? {};
    await world.clock.until(() => world.client.status().hash === hash, RETRY_MS_MAX + 100);

    expect(world.heard('want')).toHaveLength(wanted);
  });

  it('comes back every few seconds, with one exchange when there is nothing to say', async () => {
    const { world, server } = await pullingWorld(3);
    await world.cp.publish(records(1));
    world.client.start();
    await world.clock.advance(30_000);
    const before = server.count('POST');
    await world.clock.advance(120_000);
    const posts = server.count('POST') - before;

    expect(posts).toBeGreaterThanOrEqual(120_000 / (RETRY_MS_MAX + QUIET_MS) - 1);
    expect(posts).toBeLessThanOrEqual(120_000 / (RETRY_MS_MAX / 2) + 1);
    expect(server.count('GET')).toBe(server.count('POST'));
    expect(world.cp.retired).toBe(0);
    expect(world.logs.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it.each([
    ['an error', () => ({ status: 500, text: 'oops' })],
    ['no JSON', () => ({ status: 200, text: '<html>' })],
    [
      'an exception',
      () => {
        throw new Error('connection refused');
      },
    ],
  ])('tries again soon after %s', async (_name, answer) => {
    const { world, server } = await pullingWorld(4);
    server.answer = answer;
    world.client.start();
    await world.clock.advance(60_000);
    const times = server.exchanges.map(({ atMs }) => atMs);
    const waits = times.slice(1).map((atMs, i) => atMs - (times[i] ?? 0));

    expect(waits.length).toBeGreaterThan(10);
    expect(Math.max(...waits)).toBeLessThanOrEqual(RETRY_MS_MAX + 10);
    server.answer = null;
    await world.clock.until(() => world.cp.nodes.size === 1, RETRY_MS_MAX + 100);
  });

  it.each([
    [401, SLOW_RETRY_MS_MIN],
    [403, SLOW_RETRY_MS_MIN],
    [503, 3000],
  ])('after the status %i waits at least %i ms', async (status, leastMs) => {
    const { world, server } = await pullingWorld(5);
    server.answer = () => ({ status, text: '{}', retryAfterSeconds: 3 });
    world.client.start();
    await world.clock.advance(100_000);
    const times = server.exchanges.map(({ atMs }) => atMs);
    const waits = times.slice(1).map((atMs, i) => atMs - (times[i] ?? 0));

    expect(waits.length).toBeGreaterThan(2);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(leastMs);
  });

  it('gives up an exchange that is never answered', async () => {
    const { world, server } = await pullingWorld(6);
    let isHanging = true;
    const original = server.fetchJson;
    const pull = new PullConnector(
      (...request) => (isHanging ? new Promise(() => {}) : original(...request)),
      world.clock,
    );
    await world.restart({ controlPlanes: [ADDRESS], connector: pull });
    world.client.start();
    await world.clock.advance(1000);
    isHanging = false;
    await world.clock.until(() => world.cp.nodes.size === 1, HANDSHAKE_MS_MAX + RETRY_MS_MAX);
  });
});
