import { describe, expect, it } from 'vitest';
import { TestConfig, testPlugin } from '../../test/support/builders.ts';
import { answer, FakeAbort, OneChunk, request } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { must } from '../base/assert.ts';
import type { UpstreamState } from '../balancer/upstream-state.ts';
import { Gateway } from './gateway.ts';
import { PROXY_SETTINGS_DEFAULT } from './settings.ts';
import type { GatewayRequest, GatewayResponse } from '../http/message.ts';
import {
  UpstreamError,
  type UpstreamFailure,
  type UpstreamResponse,
} from '../platform/platform.ts';

const ALGORITHMS = ['round-robin', 'least-connections', 'latency', 'consistent-hashing'] as const;
const FAILURES: readonly UpstreamFailure[] = [
  'resolve',
  'connect',
  'connect_timeout',
  'write_timeout',
  'read_timeout',
  'reset',
  'invalid_response',
  'aborted',
];

/** A gateway before one Upstream, and what is held at its peers. */
class Accounts {
  readonly config = new TestConfig();
  readonly upstreamId: string;
  readonly test: TestGateway;

  constructor(algorithm: string, settings: ConstructorParameters<typeof TestGateway>[1] = {}) {
    this.upstreamId = this.config.add('upstreams', {
      name: 'pool.test',
      algorithm,
      ...(algorithm === 'consistent-hashing' ? { hash_on: 'path' } : {}),
      healthchecks: { passive: { unhealthy: { tcp_failures: 200, timeouts: 200 } } },
    }).id;
    const service = this.config.service({ host: 'pool.test', retries: 3 });
    this.config.route({ paths: ['/'], service: { id: service.id } });
    for (const target of ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80']) this.add(target);
    this.test = new TestGateway(this.config.tables(), settings);
  }

  add(target: string): string {
    return this.config.add('targets', { target, upstream: { id: this.upstreamId } }).id;
  }

  get state(): UpstreamState {
    const { health } = must(this.test.gateway.tables, 'tables').parts.env;
    return must(health.find(this.config.ws, 'pool.test'), 'served');
  }

  active(): number[] {
    return must(this.state.current, 'served').targets.map((target) => {
      const [known] = this.state.addressesOf(target).known;
      return must(known, 'an address').peer.active;
    });
  }
}

/** What an upstream may do, and when. */
function anyResponse(random: SeededRandom): UpstreamResponse {
  if (random.chance(0.4)) {
    throw new UpstreamError(FAILURES[random.below(FAILURES.length)] ?? 'reset', random.chance(0.5));
  }
  const response = answer(random.chance(0.2) ? 500 : 200, 'body');
  return random.chance(0.5) ? { ...response, body: new OneChunk() } : response;
}

describe('what is counted as under way', () => {
  it.each(ALGORITHMS)('is nothing in the end, whatever happened (%s)', async (algorithm) => {
    const seed = (Date.now() ^ algorithm.length) >>> 0;
    const random = new SeededRandom(seed);
    const accounts = new Accounts(algorithm);
    const { test } = accounts;
    let later: (() => void)[] = [];
    test.platform.respond = (): Promise<UpstreamResponse> =>
      new Promise((resolve, reject) => {
        later.push(() => {
          try {
            resolve(anyResponse(random));
          } catch (error) {
            reject(error instanceof Error ? error : new Error('no Error'));
          }
        });
      });
    const answers: GatewayResponse[] = [];
    const unanswered = new Set<GatewayRequest>();
    for (let step = 0; step < 2000; step += 1) {
      if (random.chance(0.5)) {
        const abort = new FakeAbort();
        if (random.chance(0.1)) abort.fire();
        const body = random.chance(0.3) ? new OneChunk() : null;
        const method = random.chance(0.5) ? 'GET' : 'POST';
        const message = request(`/${random.below(50)}`, { abort, body, method });
        unanswered.add(message);
        void Promise.resolve(test.gateway.handle(message)).then((response) => {
          answers.push(response);
          unanswered.delete(message);
        });
      }
      if (random.chance(0.5)) later.splice(random.below(later.length), 1)[0]?.();
      if (random.chance(0.5)) {
        const [over] = answers.splice(random.below(answers.length), 1);
        over?.onFinish({ complete: random.chance(0.5), bytesSent: 0 });
      }
      if (random.chance(0.02)) {
        if (random.chance(0.5)) accounts.add(`10.0.1.${step % 250}:${1000 + step}`);
        test.gateway.swap(accounts.config.tables(test.gateway.tables));
      }
      // Tries follow each other by promises.
      for (let i = 0; i < 4; i += 1) await Promise.resolve();
      const sum = accounts.active().reduce((total, count) => total + count, 0);
      expect(sum, `seed ${seed}, step ${step}`).toBe(accounts.state.active);
      expect(accounts.state.active).toBeGreaterThanOrEqual(0);
    }
    while (unanswered.size > 0) {
      const due = later;
      later = [];
      for (const go of due) go();
      for (let i = 0; i < 10; i += 1) await Promise.resolve();
    }
    for (const over of answers) {
      over.onFinish({ complete: true, bytesSent: 0 });
      // A listener that says it twice must not take anybody else's place.
      over.onFinish({ complete: true, bytesSent: 0 });
    }

    expect(accounts.state.active, `seed ${seed}`).toBe(0);
    expect(new Set(accounts.active()), `seed ${seed}`).toEqual(new Set([0]));
    expect(test.gateway.activeCount, `seed ${seed}`).toBe(0);
  });

  it('is let go of when a header filter crashes', async () => {
    const accounts = new Accounts('least-connections');
    const { definition, handler } = testPlugin('crashing', {
      prepare: () => ({}),
      headerFilter: () => {
        throw new Error('crash');
      },
    });
    accounts.config.provide({ definition: { ...definition, phases: ['header_filter'] }, handler });
    accounts.config.plugin('crashing');
    const { test } = accounts;
    test.gateway.swap(accounts.config.tables(test.gateway.tables));

    const response = await test.gateway.handle(request('/'));
    expect([response.status, accounts.state.active]).toEqual([500, 1]);
    response.onFinish({ complete: true, bytesSent: 0 });
    expect([accounts.state.active, test.gateway.activeCount]).toEqual([0, 0]);
  });
});

describe('more than may be under way', () => {
  const HELD = { respond: () => new Promise<UpstreamResponse>(() => {}) };

  async function refusalOf(test: TestGateway): Promise<(string | number | null)[]> {
    const got = await test.get('/x', { accept: 'application/json' });
    return [got.status, got.headers.get('retry-after'), JSON.parse(got.text).message];
  }
  const REFUSED = [503, '1', 'The upstream server is currently unavailable'];

  it.each([
    ['in all', { activeMax: 3 }, 3],
    ['for an Upstream', { upstreamActiveMax: 3 }, 3],
    ['for each of its three targets', { targetActiveMax: 2 }, 6],
  ])('%s is answered 503 at once', async (_name, settings, most) => {
    const accounts = new Accounts('round-robin', settings);
    const { test } = accounts;
    test.platform.respond = HELD.respond;
    for (let i = 0; i < most; i += 1) void test.gateway.handle(request('/x'));

    expect(await refusalOf(test)).toEqual(REFUSED);
    expect(test.platform.sent).toHaveLength(most);
  });

  it('counts requests until they are over, and no longer', async () => {
    const accounts = new Accounts('round-robin', { activeMax: 1 });
    const { test } = accounts;
    const first = await test.gateway.handle(request('/x'));
    expect(await refusalOf(test)).toEqual(REFUSED);
    first.onFinish({ complete: true, bytesSent: 0 });

    expect((await test.get('/x')).status).toBe(200);
    expect((await test.get('/x')).status).toBe(200);
  });

  it('counts no longer what a runtime has ended without a word', async () => {
    const { platform } = new Accounts('round-robin').test;
    const config = new TestConfig();
    config.route({ paths: ['/'] });
    const gateway = new Gateway({
      platform,
      settings: { ...PROXY_SETTINGS_DEFAULT, activeMax: 1, targetActiveMax: 1 },
      accessLog: null,
      forgottenAfterMs: 120_000,
    });
    gateway.swap(config.tables());
    platform.respond = HELD.respond;
    void gateway.handle(request('/x'));
    platform.clock.advance(120_000);
    expect((await gateway.handle(request('/x'))).status).toBe(503);
    platform.clock.advance(1);
    platform.respond = () => answer(200, 'room');
    expect((await gateway.handle(request('/x'))).status).toBe(200);
  });

  it('is refused for hosts that are no Upstream too', async () => {
    const config = new TestConfig();
    const service = config.service({ host: 'plain.test' });
    config.route({ paths: ['/'], service: { id: service.id } });
    const test = new TestGateway(config.tables(), { upstreamActiveMax: 1 });
    test.platform.respond = HELD.respond;
    void test.gateway.handle(request('/x'));
    expect(await refusalOf(test)).toEqual(REFUSED);
  });

  it('does not hold back a retry that another target can take', async () => {
    const accounts = new Accounts('round-robin', { targetActiveMax: 1 });
    const { test } = accounts;
    let count = 0;
    test.platform.respond = () => {
      count += 1;
      if (count < 3) throw new UpstreamError('connect', false);
      return answer(200, 'third');
    };
    expect((await test.get('/x')).text).toBe('third');
  });
});
