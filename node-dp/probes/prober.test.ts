import { afterEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { eventually } from '../../test/support/eventually.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import { Places } from './places.ts';
import { Prober } from './prober.ts';
import {
  deadPort,
  ProbedUpstream,
  type ProbedServer,
  startHttp,
  startRaw,
} from './probes.suite.ts';

const ACTIVE = {
  type: 'http',
  timeout: 5,
  healthy: { interval: 1, successes: 1 },
  unhealthy: { interval: 3, http_failures: 2, tcp_failures: 2, timeouts: 2 },
};

describe('active checks', () => {
  const open: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close();
  });

  async function server(status: () => number = () => 200): Promise<ProbedServer> {
    const started = await startHttp(status);
    open.push(started);
    return started;
  }

  class Rig {
    readonly clock = new FakeClock();
    readonly upstream: ProbedUpstream;
    readonly prober: Prober;

    constructor(ports: readonly number[], active: JsonObject = ACTIVE) {
      this.upstream = new ProbedUpstream(
        active,
        ports.map((port) => `127.0.0.1:${port}`),
      );
      this.prober = new Prober({
        clock: this.clock,
        random: nodeRandom,
        resolver: null,
        tls: new UpstreamTlsContexts([]),
      });
      open.push(this.prober);
      this.swap();
    }

    swap(): void {
      this.prober.adopt(this.upstream.swap());
    }

    word(port: number): string | undefined {
      return this.upstream.words()[`127.0.0.1:${port}`];
    }

    /** Lets so many seconds pass, each with what is probed in it. */
    async pass(seconds: number): Promise<void> {
      for (let i = 0; i < seconds * 4; i += 1) {
        await this.clock.advance(250);
        await eventually('the probes done', () => this.prober.runningCount === 0);
      }
    }
  }

  it('take a target out when it fails, and in again when it is well', async () => {
    let status = 200;
    const [good, flaky] = [await server(), await server(() => status)];
    const rig = new Rig([good.port, flaky.port]);
    await rig.pass(2);
    expect([rig.word(good.port), rig.word(flaky.port)]).toEqual(['HEALTHY', 'HEALTHY']);
    status = 500;
    await rig.pass(3);
    expect([rig.word(good.port), rig.word(flaky.port)]).toEqual(['HEALTHY', 'UNHEALTHY']);
    status = 200;
    await rig.pass(4);
    expect([rig.word(good.port), rig.word(flaky.port)]).toEqual(['HEALTHY', 'HEALTHY']);
  });

  it('take out what nothing listens at', async () => {
    const port = await deadPort();
    const rig = new Rig([port]);
    await rig.pass(3);
    expect(rig.word(port)).toBe('UNHEALTHY');
  });

  it('come at the interval of the state that a target is in', async () => {
    let status = 200;
    const { port, seen } = await server(() => status);
    const rig = new Rig([port]);
    await rig.pass(10);
    expect(seen.length).toBeGreaterThanOrEqual(9);
    expect(seen.length).toBeLessThanOrEqual(11);
    status = 500;
    await rig.pass(3);
    expect(rig.word(port)).toBe('UNHEALTHY');
    const before = seen.length;
    await rig.pass(12);
    expect(seen.length - before).toBeGreaterThanOrEqual(3);
    expect(seen.length - before).toBeLessThanOrEqual(5);
  });

  it.each([
    [
      'healthy',
      {
        ...ACTIVE,
        healthy: { interval: 1, successes: 1 },
        unhealthy: { interval: 0, http_failures: 1 },
      },
      'UNHEALTHY',
    ],
    [
      'unhealthy',
      {
        ...ACTIVE,
        healthy: { interval: 0, successes: 1 },
        unhealthy: { interval: 1, http_failures: 1 },
      },
      'HEALTHY',
    ],
  ])('may be of those only that are %s', async (_, active, word) => {
    const { port, seen } = await server(() => 500);
    const rig = new Rig([port], active);
    await rig.pass(3);
    expect(rig.word(port)).toBe(word);
    const before = seen.length;
    await rig.pass(3);
    expect(seen).toHaveLength(before);
  });

  it('leave out targets of weight 0', async () => {
    const [on, off] = [await server(), await server()];
    const rig = new Rig([on.port]);
    rig.upstream.add(`127.0.0.1:${off.port}`, 0);
    rig.swap();
    await rig.pass(3);
    expect(on.seen.length).toBeGreaterThan(0);
    expect(off.seen).toHaveLength(0);
  });

  it.each([1, 3])('probe no more than %i at a time', async (concurrency) => {
    const hanging = await Promise.all(Array.from({ length: 8 }, () => startRaw(() => null)));
    open.push(...hanging);
    const rig = new Rig(
      hanging.map(({ port }) => port),
      { ...ACTIVE, concurrency },
    );
    const connections = (): number =>
      hanging.reduce((sum, { connectionCount }) => sum + connectionCount, 0);
    await rig.clock.advance(1000);
    await eventually('probes', () => connections() >= concurrency);
    await rig.clock.advance(10_000);
    expect(connections()).toBe(concurrency);
    expect(rig.prober.runningCount).toBe(concurrency);
  });

  describe('when the configuration changes', () => {
    it('go on undisturbed where they are not concerned', async () => {
      const { port, seen } = await server();
      const rig = new Rig([port]);
      await rig.pass(2);
      const before = seen.length;
      // Would begin anew with each version, up to a second later, if they were.
      for (let i = 0; i < 20; i += 1) {
        rig.upstream.config.add('upstreams', { name: `other${i}.test` });
        rig.swap();
        await rig.pass(0.5);
      }
      expect(seen.length - before).toBeGreaterThanOrEqual(9);
      expect(seen.length - before).toBeLessThanOrEqual(11);
    });

    it('keep what is known, and probe what is new', async () => {
      const dead = await deadPort();
      const { port, seen } = await server();
      const rig = new Rig([dead]);
      await rig.pass(3);
      expect(rig.word(dead)).toBe('UNHEALTHY');
      rig.upstream.add(`127.0.0.1:${port}`);
      rig.swap();
      expect(rig.word(dead)).toBe('UNHEALTHY');
      await rig.pass(2);
      expect(seen.length).toBeGreaterThan(0);
      rig.upstream.replace({ ...ACTIVE, http_path: '/other' });
      rig.swap();
      expect(rig.word(dead)).toBe('UNHEALTHY');
      await rig.pass(2);
      expect(seen.at(-1)).toMatch(/^GET \/other/);
    });

    it.each([
      ['the target goes', (rig: Rig, port: number) => rig.upstream.remove(`127.0.0.1:${port}`)],
      ['the Upstream goes', (rig: Rig) => rig.upstream.removeUpstream()],
      ['they are turned off', (rig: Rig) => rig.upstream.replace({})],
    ])('end when %s', async (_, change) => {
      const { port, seen } = await server();
      const rig = new Rig([port]);
      await rig.pass(2);
      change(rig, port);
      rig.swap();
      const before = seen.length;
      await rig.pass(3);
      expect(seen).toHaveLength(before);
    });

    it('drop what is under way when it is of no use any more', async () => {
      const hanging = await startRaw(() => null);
      open.push(hanging);
      const rig = new Rig([hanging.port]);
      await rig.clock.advance(1000);
      await eventually('a probe', () => hanging.connectionCount === 1);
      rig.upstream.replace({});
      rig.swap();
      await eventually('nothing under way', () => rig.prober.runningCount === 0);
    });
  });

  it('leave nothing behind when they are closed', async () => {
    const hanging = await startRaw(() => null);
    open.push(hanging);
    const rig = new Rig([hanging.port]);
    await rig.clock.advance(1000);
    await eventually('a probe', () => hanging.connectionCount === 1);
    rig.prober.close();
    await eventually('nothing under way', () => rig.prober.runningCount === 0);
    expect(rig.clock.timerCount).toBe(0);
    await rig.clock.advance(10_000);
    expect(hanging.connectionCount).toBe(1);
  });
});

describe('places', () => {
  it('are given to so many at a time, in order', async () => {
    const places = new Places(2);
    expect([places.take(), places.take()]).toEqual([null, null]);
    const order: number[] = [];
    const waiting = [1, 2].map((number) => places.take()?.then(() => order.push(number)));
    places.giveBack();
    places.giveBack();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2]);
    expect(places.take()).toBeInstanceOf(Promise);
  });
});
