import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { FakeClock, settle } from '../../test/support/fake-clock.ts';
import { ScriptedResolver } from '../balancer/scripted-resolver.suite.ts';
import { must } from '../base/assert.ts';
import { HealthRegistry } from '../health/registry.ts';
import type { JsonObject } from '../schema/field.ts';
import type { Tables } from '../tables/tables.ts';
import { encodeFrame, decodeUpFrame } from '../wire/codec.ts';
import type { FrameOf } from '../wire/frames.ts';
import {
  ADDRESSES_MAX,
  FRAME_LENGTH_AIM,
  FRAMES_MAX,
  HealthReporter,
  REPORT_INTERVAL_MS,
  setTargetHealth,
  UPSTREAMS_MAX,
} from './health-reporter.ts';

const PASSIVE = { passive: { unhealthy: { tcp_failures: 1 }, healthy: { successes: 1 } } };

class Rig {
  readonly clock = new FakeClock();
  readonly resolver = new ScriptedResolver();
  readonly registry = new HealthRegistry();
  readonly config = new TestConfig();
  readonly frames: FrameOf<'health'>[] = [];
  session: number | null = 1;
  takesFrames = true;
  readonly reporter: HealthReporter;
  #tables: Tables | null = null;

  constructor() {
    const { clock, resolver, registry } = this;
    this.reporter = new HealthReporter({
      sink: {
        healthSession: () => this.session,
        reportHealth: (frame) => {
          if (!this.takesFrames) return false;
          const decoded = decodeUpFrame(encodeFrame(frame));
          expect(decoded).toMatchObject({ ok: true });
          this.frames.push(frame);
          return true;
        },
      },
      registry,
      clock,
      resolver,
    });
  }

  upstream(name: string, targets: readonly string[], healthchecks: JsonObject = PASSIVE): string {
    const { id } = this.config.add('upstreams', { name, healthchecks });
    for (const target of targets) {
      this.config.add('targets', { target, weight: 10, upstream: { id } });
    }
    return id;
  }

  swap(): void {
    this.#tables = this.config.tables(this.#tables, { health: this.registry });
    const { byName, step } = this.#tables.parts.upstreams;
    this.registry.adopt(byName.winners, step, this.clock.monotonic());
  }

  fail(name: string, target: string): void {
    const state = must(this.registry.find(this.config.ws, name), 'the Upstream');
    for (const { host, port, key, weight } of state.current?.targets ?? []) {
      if (key !== target) continue;
      const { known } = state.addressesOf({ host, port, key, weight });
      for (const { peer } of known) state.report(peer, { type: 'tcp_failure' }, 'passive');
    }
  }

  /** What was said since it was asked last. */
  said(): FrameOf<'health'>[] {
    return this.frames.splice(0);
  }
}

describe('the report of health', () => {
  it('begins with everything', () => {
    const rig = new Rig();
    rig.upstream('a.test', ['10.0.0.1:80', '[fd00::1]:81']);
    rig.upstream('off.test', ['10.0.0.2:80'], {});
    rig.swap();
    rig.reporter.report();
    const target = { weight: 10, health: 'HEALTHY' };
    const [frame, ...more] = rig.said();
    expect(more).toEqual([]);
    expect(frame).toMatchObject({ reset: true, gone: [] });
    expect(frame?.upstreams.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
      {
        ws: rig.config.ws,
        name: 'a.test',
        health: 'HEALTHY',
        balancer: 'HEALTHY',
        targets: [
          {
            ...target,
            target: '10.0.0.1:80',
            dns: 'A',
            addresses: [{ ip: '10.0.0.1', port: 80, ...target }],
          },
          {
            ...target,
            target: '[0000:0000:0000:0000:0000:0000:0000:0001]:81'.replace('0000:', 'fd00:'),
            dns: 'AAAA',
            addresses: [{ ip: 'fd00:0000:0000:0000:0000:0000:0000:0001', port: 81, ...target }],
          },
        ],
        dropped: 0,
      },
      {
        ws: rig.config.ws,
        name: 'off.test',
        health: 'HEALTHCHECKS_OFF',
        balancer: 'HEALTHY',
        targets: [
          {
            ...target,
            target: '10.0.0.2:80',
            health: 'HEALTHCHECKS_OFF',
            dns: 'A',
            addresses: [{ ip: '10.0.0.2', port: 80, ...target, health: 'HEALTHCHECKS_OFF' }],
          },
        ],
        dropped: 0,
      },
    ]);
  });

  it('goes on with what has changed, all of an interval together, and is silent otherwise', async () => {
    const rig = new Rig();
    rig.upstream('a.test', ['10.0.0.1:80', '10.0.0.2:80']);
    rig.upstream('b.test', ['10.0.0.3:80']);
    rig.swap();
    rig.reporter.start();
    await rig.clock.advance(REPORT_INTERVAL_MS);
    expect(rig.said()).toHaveLength(1);
    await rig.clock.advance(60 * REPORT_INTERVAL_MS);
    expect(rig.said()).toEqual([]);
    rig.fail('a.test', '10.0.0.1:80');
    rig.fail('a.test', '10.0.0.2:80');
    await rig.clock.advance(REPORT_INTERVAL_MS);
    const [frame, ...more] = rig.said();
    expect(more).toEqual([]);
    expect(frame).toMatchObject({
      reset: false,
      upstreams: [{ name: 'a.test', balancer: 'UNHEALTHY' }],
    });
    rig.reporter.stop();
    expect(rig.clock.timerCount).toBe(0);
  });

  it('says which Upstreams are gone', () => {
    const rig = new Rig();
    const id = rig.upstream('a.test', []);
    rig.swap();
    rig.reporter.report();
    rig.said();
    rig.config.remove('upstreams', id);
    rig.swap();
    rig.reporter.report();
    rig.reporter.report();
    expect(rig.said()).toEqual([
      {
        type: 'health',
        reset: false,
        upstreams: [],
        gone: [{ ws: rig.config.ws, name: 'a.test' }],
      },
    ]);
  });

  it('begins anew with each session, and says nothing without one', () => {
    const rig = new Rig();
    rig.upstream('a.test', ['10.0.0.1:80']);
    rig.swap();
    rig.session = null;
    rig.reporter.report();
    expect(rig.said()).toEqual([]);
    for (const session of [1, 2]) {
      rig.session = session;
      rig.reporter.report();
      expect(rig.said()).toMatchObject([{ reset: true, upstreams: [{ name: 'a.test' }] }]);
      rig.reporter.report();
      expect(rig.said()).toEqual([]);
    }
  });

  it('says that there is nothing, so that older words are forgotten', () => {
    const rig = new Rig();
    rig.swap();
    rig.reporter.report();
    rig.reporter.report();
    expect(rig.said()).toEqual([{ type: 'health', reset: true, upstreams: [], gone: [] }]);
  });

  it('says later what could not be sent', () => {
    const rig = new Rig();
    rig.upstream('a.test', ['10.0.0.1:80']);
    rig.swap();
    rig.takesFrames = false;
    rig.reporter.report();
    rig.takesFrames = true;
    rig.reporter.report();
    expect(rig.said()).toMatchObject([{ reset: true, upstreams: [{ name: 'a.test' }] }]);
  });

  it('waits for the addresses of names, and follows them', async () => {
    const rig = new Rig();
    rig.resolver.answers.set('x.test', { addresses: ['10.0.0.1'], expiresAt: 5000 });
    rig.upstream('a.test', ['x.test:80', 'lost.test:80']);
    rig.swap();
    rig.reporter.report();
    expect(rig.said()).toMatchObject([{ reset: true, upstreams: [] }]);
    await settle();
    rig.reporter.report();
    expect(rig.said()).toMatchObject([
      {
        upstreams: [
          {
            targets: [
              { target: 'lost.test:80', health: 'DNS_ERROR', dns: null, addresses: [] },
              { target: 'x.test:80', health: 'HEALTHY', dns: 'A', addresses: [{ ip: '10.0.0.1' }] },
            ],
          },
        ],
      },
    ]);
    rig.resolver.answers.set('x.test', { addresses: ['10.0.0.2'], expiresAt: 9000 });
    await rig.clock.advance(5000);
    rig.reporter.report();
    await settle();
    rig.reporter.report();
    expect(JSON.stringify(rig.said())).toContain('10.0.0.2');
  });

  it('has bounded frames, and a bounded number of them at a time', () => {
    const rig = new Rig();
    const count = 40;
    const perUpstream = 250;
    for (let u = 0; u < count; u += 1) {
      const targets = Array.from({ length: perUpstream }, (_, i) => `10.${u}.0.${i}:80`);
      rig.upstream(`u${u}.test`, targets);
    }
    rig.swap();
    const names = new Set<string>();
    let rounds = 0;
    for (; names.size < count; rounds += 1) {
      rig.reporter.report();
      const frames = rig.said();
      expect(frames.length).toBeGreaterThan(0);
      expect(frames.length).toBeLessThanOrEqual(FRAMES_MAX);
      for (const frame of frames) {
        if (frame.upstreams.length > 1) {
          expect(encodeFrame(frame).length).toBeLessThan(FRAME_LENGTH_AIM + 1000);
        }
        for (const { name } of frame.upstreams) names.add(name);
      }
    }
    expect(rounds).toBeGreaterThan(1);
  });

  it('leaves addresses out beyond a bound, and says how many', () => {
    const rig = new Rig();
    const targets = Array.from(
      { length: ADDRESSES_MAX + 7 },
      (_, i) => `10.0.${i >> 8}.${i & 255}:80`,
    );
    rig.upstream('a.test', targets);
    rig.swap();
    rig.reporter.report();
    const [upstream] = rig.said()[0]?.upstreams ?? [];
    expect(upstream?.targets).toHaveLength(ADDRESSES_MAX);
    expect(upstream?.dropped).toBe(7);
  });

  it('leaves Upstreams out beyond a bound', () => {
    const rig = new Rig();
    for (let i = 0; i <= UPSTREAMS_MAX; i += 1) rig.config.add('upstreams', { name: `u${i}.test` });
    rig.swap();
    let total = 0;
    for (;;) {
      rig.reporter.report();
      const frames = rig.said();
      if (frames.length === 0) break;
      for (const { upstreams } of frames) total += upstreams.length;
    }
    expect(total).toBe(UPSTREAMS_MAX);
  });
});

describe('what somebody says by hand', () => {
  it('counts where it is known, and nowhere else', () => {
    const rig = new Rig();
    rig.upstream('a.test', ['10.0.0.1:80']);
    rig.swap();
    const said = {
      ws: rig.config.ws,
      address: null,
      healthy: false,
    } as const;
    const down = { ...said, name: 'a.test', target: '10.0.0.1:80' };
    expect(setTargetHealth(rig.registry, down)).toEqual({ known: true });
    setTargetHealth(rig.registry, { ...said, name: 'a.test', target: '10.0.0.9:80' });
    expect(setTargetHealth(rig.registry, { ...down, name: 'nobody.test' })).toEqual({
      known: false,
    });
    rig.reporter.report();
    expect(rig.said()).toMatchObject([{ upstreams: [{ targets: [{ health: 'UNHEALTHY' }] }] }]);
  });
});
