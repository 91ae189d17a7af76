import { describe, expect, it } from 'vitest';
import { upstreamOf } from '../balancer/balancer.suite.ts';
import { type CheckOutcome, compileChecks, counterOf } from './checks.ts';
import { type CounterName, Health, type HealthLevel } from './health.ts';

const LIMITS: Readonly<Record<CounterName, number>> = {
  success: 2,
  http_failure: 3,
  tcp_failure: 2,
  timeout: 2,
};

/** s: success, h: http failure, t: tcp failure, o: timeout. */
const LETTERS: Readonly<Record<string, CounterName>> = {
  s: 'success',
  h: 'http_failure',
  t: 'tcp_failure',
  o: 'timeout',
};

function after(outcomes: string, limits = LIMITS, health = new Health()): Health {
  for (const letter of outcomes) {
    const name = LETTERS[letter];
    if (name !== undefined) health.count(name, limits[name]);
  }
  return health;
}

// Source: lua-resty-healthcheck `lib/resty/healthcheck.lua`, incr_counter; its specs
// t/with_resty-events/03-get_target_status.t, 06-report_http_status.t, 07-report_tcp_failure.t,
// 08-report_timeout.t, 12-set_target_status.t, 16-set_all_target_statuses_for_hostname.t
describe('the health of an address', () => {
  it.each<[string, string, HealthLevel]>([
    ['begins healthy', '', 'healthy'],
    ['does not count successes while all is well', 'ss', 'healthy'],
    ['is on its way down with the first failure', 'h', 'mostly_healthy'],
    ['is not down one failure before the limit', 'hh', 'mostly_healthy'],
    ['is down at the limit of http failures', 'hhh', 'unhealthy'],
    ['is down at the limit of tcp failures', 'tt', 'unhealthy'],
    ['is down at the limit of timeouts', 'oo', 'unhealthy'],
    ['counts each kind by itself', 'hhto', 'mostly_healthy'],
    ['forgets failures with a success', 'hhshh', 'mostly_healthy'],
    ['is well again when the successes suffice', 'hss', 'healthy'],
    ['forgets successes with a failure', 'hshs', 'mostly_healthy'],
    ['is on its way up with the first success', 'ttts', 'mostly_unhealthy'],
    ['is up at the limit of successes', 'ttss', 'healthy'],
    ['begins to count anew after a failure on the way up', 'ttsts', 'mostly_unhealthy'],
    ['does not count failures while it is down', 'tttttss', 'healthy'],
  ])('%s (%s)', (_name, outcomes, level) => {
    expect(after(outcomes).level).toBe(level);
  });

  it('does not count what has no limit, so that failures add up across successes', () => {
    const passive = { ...LIMITS, success: 0 };
    expect(after('hshsh', passive).level).toBe('unhealthy');
    expect(after('hhhss', passive).level).toBe('unhealthy');
    expect(after('oooo', { ...LIMITS, timeout: 0 }).level).toBe('healthy');
  });

  it('tells when it turns, and only then', () => {
    const health = new Health();
    const turns = [...'tttss'].map((letter) => {
      const name = LETTERS[letter] ?? 'success';
      return health.count(name, LIMITS[name]);
    });
    expect(turns).toEqual([false, true, false, false, true]);
  });

  it('is what is said by hand, and counts anew from there', () => {
    const health = after('hh');
    expect(health.set(false)).toBe(true);
    expect([health.level, health.isHealthy]).toEqual(['unhealthy', false]);
    expect(health.set(false)).toBe(false);
    expect(health.set(true)).toBe(true);
    expect(after('hh', LIMITS, health).level).toBe('mostly_healthy');
  });

  it('counts to 255 and no further', () => {
    const health = new Health();
    for (let i = 0; i < 300; i += 1) health.count('timeout', 1000);
    expect(health.counts().timeout).toBe(255);
  });
});

describe('an outcome', () => {
  const { passive } = compileChecks(upstreamOf());

  // Source: lua-resty-healthcheck, report_http_status; Kong's default lists
  it.each<[string, CheckOutcome, CounterName | null]>([
    ['200', { type: 'status', status: 200 }, 'success'],
    ['302', { type: 'status', status: 302 }, 'success'],
    ['404, in neither list', { type: 'status', status: 404 }, null],
    ['502, in neither list', { type: 'status', status: 502 }, null],
    ['500', { type: 'status', status: 500 }, 'http_failure'],
    ['429', { type: 'status', status: 429 }, 'http_failure'],
    ['no status at all', { type: 'status', status: 0 }, 'http_failure'],
    ['a timeout', { type: 'timeout' }, 'timeout'],
    ['a broken connection', { type: 'tcp_failure' }, 'tcp_failure'],
    ['a probe that was taken', { type: 'success' }, 'success'],
  ])('%s counts as it does in Kong', (_name, outcome, counter) => {
    expect(counterOf(outcome, passive)).toBe(counter);
  });
});

// Source: Kong `runloop/balancer/healthcheckers.lua`, is_upstream_using_healthcheck
describe('health checks', () => {
  const passive = (unhealthy: object, healthy: object = {}) => ({
    healthchecks: { passive: { unhealthy, healthy } },
  });
  const active = (healthy: object, unhealthy: object = {}) => ({
    healthchecks: { active: { healthy, unhealthy } },
  });

  it.each([
    ['off by default', {}, false, false],
    ['on with probes of the healthy', active({ interval: 1 }), true, false],
    ['on with probes of the unhealthy', active({}, { interval: 1 }), true, false],
    ['on with a limit of tcp failures', passive({ tcp_failures: 1 }), true, true],
    ['on with a limit of timeouts', passive({ timeouts: 1 }), true, true],
    ['on with a limit of http failures', passive({ http_failures: 1 }), true, true],
    ['not on for successes alone', passive({}, { successes: 1 }), false, false],
  ])('are %s', (_name, input, isOn, isPassiveOn) => {
    const checks = compileChecks(upstreamOf(JSON.parse(JSON.stringify(input))));
    expect([checks.isOn, checks.isPassiveOn]).toEqual([isOn, isPassiveOn]);
  });
});
