import { describe, expect, it } from 'vitest';
import type { HealthWord, UpstreamHealth } from '#shared/health/registry.ts';
import { healthSamples, healthView, METRICS_MAX, SHOWN_MAX } from './health-view.ts';

function upstream(name: string, words: readonly (HealthWord | null)[]): UpstreamHealth {
  const weights = { total: 1, available: 1 };
  return {
    ws: 'ws',
    upstream: name,
    health: 'HEALTHY',
    balancerHealth: 'HEALTHY',
    weights,
    targets: words.map((health, i) => ({
      target: `t${i}:80`,
      host: `t${i}`,
      port: 80,
      weight: 1,
      dns: null,
      health: health ?? 'DNS_ERROR',
      weights,
      addresses:
        health === null
          ? []
          : [{ ip: i % 2 === 0 ? '10.0.0.1' : 'fd00::1', port: 80, weight: 1, health }],
    })),
  };
}

describe('what the status port says of health', () => {
  it('names what is not available', () => {
    const upstreams = [upstream('a', ['HEALTHY', 'UNHEALTHY', null, 'HEALTHCHECKS_OFF'])];
    const common = { workspace: 'ws', upstream: 'a' };
    expect(healthView(upstreams)).toEqual({
      unavailable_targets: [
        { ...common, target: 't1:80', address: '[fd00::1]:80', health: 'UNHEALTHY' },
        { ...common, target: 't2:80', address: null, health: 'DNS_ERROR' },
      ],
      unavailable_targets_total: 2,
    });
  });

  it('names no more than fit', () => {
    const view = healthView([
      upstream(
        'a',
        Array.from({ length: SHOWN_MAX + 1 }, () => 'UNHEALTHY'),
      ),
    ]);
    expect(view['unavailable_targets']).toHaveLength(SHOWN_MAX);
    expect(view['unavailable_targets_total']).toBe(SHOWN_MAX + 1);
  });

  it('has a sample for each address, in the state it is in', () => {
    expect(healthSamples([upstream('a"\\\n', ['HEALTHY', null])])).toEqual([
      [
        '{workspace="ws",upstream="a\\"\\\\\\n",target="t0:80",address="10.0.0.1:80",state="healthy"}',
        1,
      ],
      ['{workspace="ws",upstream="a\\"\\\\\\n",target="t1:80",address="",state="dns_error"}', 1],
    ]);
  });

  it('has no more samples than fit', () => {
    const words = Array.from({ length: METRICS_MAX }, (): HealthWord => 'HEALTHY');
    expect(healthSamples([upstream('a', words), upstream('b', ['HEALTHY'])])).toHaveLength(
      METRICS_MAX,
    );
  });
});
