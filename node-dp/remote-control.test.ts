import { describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { HealthRegistry } from '#shared/health/registry.ts';
import { createLogger } from '#shared/platform/node/logger.ts';
import { FakeClock } from '../test/support/fake-clock.ts';
import { RemoteControl } from './remote-control.ts';

function open() {
  const clock = new FakeClock();
  const logger = createLogger({ name: 'dp', level: 'info', write: () => {} });
  const purged: string[] = [];
  const cache = (name: string, size: number) =>
    [name, () => (purged.push(name), size)] as [string, () => number];
  const caches = new Map([cache('dns', 3), cache('other', 0)]);
  const health = new HealthRegistry();
  const control = new RemoteControl({ logger, clock, health, caches, connections: () => 7 });
  const { log_level: level, drain, cache_purge: purge, target_health } = control.methods;
  const methods = {
    level: must(level, 'log_level'),
    drain: must(drain, 'drain'),
    purge: must(purge, 'cache_purge'),
    health: must(target_health, 'target_health'),
  };
  return { clock, logger, purged, control, ...methods };
}

describe('what a node is asked to do', () => {
  it('is to log at another level, for a while', async () => {
    const { clock, logger, level } = open();
    expect(level({ level: 'debug', seconds: 60 })).toEqual({ level: 'debug' });
    await clock.advance(59_999);
    expect(logger.level).toBe('debug');
    await clock.advance(1);
    expect(logger.level).toBe('info');
    level({ level: 'error', seconds: 0 });
    await clock.advance(10_000_000);
    expect(logger.level).toBe('error');
  });

  it('is to drain, until told or for a while', async () => {
    const { clock, control, drain } = open();
    expect(drain({ draining: true, seconds: 0 })).toEqual({ draining: true, connections: 7 });
    await clock.advance(10_000_000);
    expect(control.isDraining).toBe(true);
    drain({ draining: false, seconds: 0 });
    expect(control.isDraining).toBe(false);
    drain({ draining: true, seconds: 30 });
    drain({ draining: true, seconds: 60 });
    await clock.advance(59_999);
    expect(control.isDraining).toBe(true);
    await clock.advance(1);
    expect(control.isDraining).toBe(false);
  });

  it('is to forget caches by name, or all it has', () => {
    const { purged, purge } = open();
    const dns = { cache: 'dns', entries: 3 };
    expect(purge({ caches: ['dns', 'unheard-of'] })).toEqual({ purged: [dns] });
    expect(purged).toEqual(['dns']);
    expect(purge({ caches: [] })).toEqual({ purged: [dns, { cache: 'other', entries: 0 }] });
  });

  it('is to take a target for healthy or not, if it serves it', () => {
    const { health } = open();
    const said = { ws: 'w', name: 'u', target: 'a:80', address: null, healthy: false };
    expect(health(said)).toEqual({ known: false });
  });
});
