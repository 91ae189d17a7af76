import { afterEach, describe, expect, it } from 'vitest';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { type EchoUpstream, startEchoUpstream } from '../test/support/echo-upstream.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import { type RunningGateway, Started } from './gateway.suite.ts';
import { Prober } from './probes/prober.ts';
import { ProbedUpstream } from './probes/probes.suite.ts';
import { UpstreamTlsContexts } from './tls/upstream-tls.ts';

const THRESHOLD = 3;
const PASSIVE = { unhealthy: { tcp_failures: THRESHOLD } };
const ACTIVE = {
  timeout: 1,
  healthy: { interval: 0, successes: 1 },
  unhealthy: { interval: 0.1, tcp_failures: 1, http_failures: 1, timeouts: 1 },
};

const started = new Started();
const closing: (() => unknown)[] = [];

/** Two targets, one of which resets whatever comes until it is told to be well. */
class Scene {
  readonly pool: ProbedUpstream;
  readonly prober: Prober;
  readonly gateway: RunningGateway;
  readonly sick: { readonly port: number; readonly requests: string[]; isWell: boolean };

  private constructor(pool: ProbedUpstream, gateway: RunningGateway, sick: Scene['sick']) {
    this.pool = pool;
    this.gateway = gateway;
    this.sick = sick;
    this.prober = new Prober({
      clock: nodeClock,
      random: nodeRandom,
      resolver: null,
      tls: new UpstreamTlsContexts([]),
    });
    closing.push(() => this.prober.close());
  }

  static async start(good: EchoUpstream, active: JsonObject): Promise<Scene> {
    const requests: string[] = [];
    const state = { isWell: false };
    const upstream = await started.upstream((socket, text) => {
      // Probes are told from requests by where they go.
      if (!text.startsWith('GET /probe')) requests.push(text);
      if (state.isWell)
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      else socket.resetAndDestroy();
    });
    const targets = [good.port, upstream.port].map((port) => `127.0.0.1:${port}`);
    const pool = new ProbedUpstream({ ...active, http_path: '/probe' }, targets, {}, PASSIVE);
    const service = pool.config.service({ host: 'pool.test', retries: 2 });
    pool.config.route({ paths: ['/'], service: { id: service.id } });
    const gateway = await started.gateway(pool.swap());
    const sick = Object.assign(state, { port: upstream.port, requests });
    const scene = new Scene(pool, gateway, sick);
    scene.swap();
    return scene;
  }

  swap(): void {
    const tables = this.pool.swap();
    this.gateway.swap(tables);
    this.prober.adopt(tables);
  }

  get word(): string | undefined {
    return this.pool.words()[`127.0.0.1:${this.sick.port}`];
  }

  async request(): Promise<number> {
    return (await send(`http://127.0.0.1:${this.gateway.port}`, '/')).status;
  }
}

describe('a target that is dead', () => {
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    await started.close();
  });

  async function startGood(): Promise<EchoUpstream> {
    const good = await startEchoUpstream();
    closing.push(() => good.close());
    return good;
  }

  it('gets no more requests than its threshold, and none while configurations change', async () => {
    const scene = await Scene.start(await startGood(), { ...ACTIVE, unhealthy: { interval: 0 } });
    for (let i = 0; i < 50; i += 1) expect(await scene.request()).toBe(200);
    expect(scene.sick.requests).toHaveLength(THRESHOLD);
    expect(scene.word).toBe('UNHEALTHY');
    for (let i = 0; i < 50; i += 1) {
      if (i % 10 === 0) {
        scene.pool.config.route({ paths: [`/other${i}`] });
        scene.pool.config.add('upstreams', { name: `other${i}.test` });
        scene.swap();
      }
      expect(await scene.request()).toBe(200);
    }
    expect(scene.sick.requests).toHaveLength(THRESHOLD);
  });

  it('comes back by active checks, and not before it is well', async () => {
    const scene = await Scene.start(await startGood(), ACTIVE);
    for (let i = 0; i < 20; i += 1) expect(await scene.request()).toBe(200);
    expect(scene.word).toBe('UNHEALTHY');
    scene.sick.isWell = true;
    await eventually('the target taken in again', () => scene.word === 'HEALTHY');
    for (let i = 0; i < 10; i += 1) expect(await scene.request()).toBe(200);
    expect(scene.sick.requests.length).toBeGreaterThan(THRESHOLD + 3);
  });

  it('gets no request at all once active checks have found it', async () => {
    const scene = await Scene.start(await startGood(), {
      ...ACTIVE,
      healthy: { interval: 0.1, successes: 1 },
    });
    await eventually('the target taken out', () => scene.word === 'UNHEALTHY');
    for (let i = 0; i < 50; i += 1) expect(await scene.request()).toBe(200);
    expect(scene.sick.requests).toHaveLength(0);
  });
});
