import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { RPC_TEXT_LENGTH_MAX } from '../wire/protocol.ts';
import {
  DOWN_METHODS,
  featureOf,
  methodsIn,
  UP_METHODS,
  type DownMethods,
  type UpMethods,
} from '../wire/rpc-methods.ts';
import {
  ASKED_MAX,
  CALLS_BURST_MAX,
  CALLS_PER_SECOND_MAX,
  Rpc,
  RPC_MS_MAX,
  RpcRefusal,
  SERVED_MAX,
  type Handlers,
  type RpcFrame,
} from './rpc.ts';

/** A node and its control plane, each with the frames that it has sent. */
class Pair {
  readonly clock = new FakeClock();
  readonly down: RpcFrame[] = [];
  readonly up: RpcFrame[] = [];
  readonly failures: unknown[] = [];
  isUp = true;
  readonly cp: Rpc<UpMethods, DownMethods>;
  readonly node: Rpc<DownMethods, UpMethods>;

  constructor(handlers: { down?: Handlers<DownMethods>; up?: Handlers<UpMethods> } = {}) {
    const { clock } = this;
    const failed = (_method: string, error: unknown) => void this.failures.push(error);
    this.cp = new Rpc({
      clock,
      ours: UP_METHODS,
      handlers: handlers.up ?? {},
      theirs: DOWN_METHODS,
      send: (frame) => this.isUp && this.down.push(frame) > 0,
      failed,
    });
    this.node = new Rpc({
      clock,
      ours: DOWN_METHODS,
      handlers: handlers.down ?? {},
      theirs: UP_METHODS,
      send: (frame) => this.isUp && this.up.push(frame) > 0,
      failed,
    });
  }

  /** Carries what was sent, until nothing more is. */
  async carry(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) {
      for (const frame of this.down.splice(0)) this.node.receive(frame);
      for (const frame of this.up.splice(0)) this.cp.receive(frame);
      await Promise.resolve();
    }
  }
}

const level = { level: 'debug', seconds: 60 } as const;
const call = (id: number, method: string, params: string): RpcFrame => ({
  type: 'call',
  id,
  method,
  params,
});
const refusedAs = (code: string) => ({ ok: false, error: { code } });

describe('a call', () => {
  it('goes down and is answered', async () => {
    const pair = new Pair({ down: { log_level: async ({ level: to }) => ({ level: to }) } });
    const outcome = pair.cp.ask('log_level', level);
    await pair.carry();
    expect(await outcome).toEqual({ ok: true, value: { level: 'debug' } });
  });

  it('goes up and is answered', async () => {
    const counters = { totals: [7] };
    const pair = new Pair({ up: { counters: () => counters } });
    const outcome = pair.node.ask('counters', {
      increments: [{ name: 'n', window: 1, seconds: 60, by: 1 }],
    });
    await pair.carry();
    expect(await outcome).toEqual({ ok: true, value: counters });
  });

  it('of a method of the other direction is unknown, whoever asks', async () => {
    const pair = new Pair({
      down: { log_level: () => ({ level: 'info' }) },
      up: { counters: () => ({ totals: [] }) },
    });
    pair.cp.receive(call(1, 'log_level', JSON.stringify(level)));
    pair.node.receive(call(1, 'counters', '{"increments":[]}'));
    expect(pair.down).toMatchObject([refusedAs('unknown_method')]);
    expect(pair.up).toMatchObject([refusedAs('unknown_method')]);
  });

  it.each(['drain', 'nothing_of_ours', '__proto__', 'constructor', 'toString'])(
    'of %s, which this node does not do, is unknown',
    (method) => {
      const pair = new Pair({ down: { log_level: () => ({ level: 'info' }) } });
      pair.node.receive(call(1, method, '{}'));
      expect(pair.up).toMatchObject([refusedAs('unknown_method')]);
    },
  );

  it.each(['', 'null', '[]', '{}', '{', '{"level":"loud","seconds":1}', '{"level":"info"}'])(
    'with the params %j is refused, and not done',
    (params) => {
      const pair = new Pair({
        down: {
          log_level: () => {
            throw new Error('done');
          },
        },
      });
      pair.node.receive(call(1, 'log_level', params));
      expect(pair.up).toMatchObject([refusedAs('bad_params')]);
      expect(pair.failures).toEqual([]);
    },
  );

  it('that fails says why only in words that were meant for the other end', async () => {
    const errors = [new Error('password=secret'), new RpcRefusal('not while draining')];
    const pair = new Pair({
      down: {
        log_level: () => {
          throw errors.shift() ?? new Error('no more');
        },
      },
    });
    const outcomes = [pair.cp.ask('log_level', level), pair.cp.ask('log_level', level)];
    await pair.carry();
    expect(await Promise.all(outcomes)).toEqual([
      { ok: false, code: 'failed', detail: '' },
      { ok: false, code: 'failed', detail: 'not while draining' },
    ]);
    expect(pair.failures).toHaveLength(1);
  });

  it('whose answer is not as the method is defined has failed', async () => {
    const pair = new Pair();
    for (const value of ['', '{}', '{"level":1}', '[]', null]) {
      const outcome = pair.cp.ask('log_level', level);
      const [sent] = pair.down.splice(0);
      pair.cp.receive({ type: 'result', id: sent?.id ?? 0, ok: true, value, error: null });
      expect(await outcome).toMatchObject({ ok: false, code: 'bad_result' });
    }
  });

  it('without a session is answered at once', async () => {
    const pair = new Pair();
    pair.isUp = false;
    expect(await pair.cp.ask('log_level', level)).toMatchObject({ code: 'unavailable' });
  });

  it('is over when the session is, and answered in none after it', async () => {
    let finish: (value: { level: string }) => void = () => {};
    const pair = new Pair({
      down: { log_level: () => new Promise((resolve) => (finish = resolve)) },
    });
    const outcome = pair.cp.ask('log_level', level);
    await pair.carry();
    pair.cp.end();
    pair.node.end();
    expect(await outcome).toMatchObject({ code: 'unavailable' });
    finish({ level: 'info' });
    await pair.carry();
    expect(pair.up).toEqual([]);
  });

  it('of another session is not answered by a late result', async () => {
    const pair = new Pair();
    pair.cp.receive({ type: 'result', id: 1, ok: true, value: '{"level":"x"}', error: null });
    const outcome = pair.cp.ask('log_level', level);
    const [sent] = pair.down.splice(0);
    pair.cp.receive({
      type: 'result',
      id: (sent?.id ?? 0) + 1,
      ok: true,
      value: '{"level":"x"}',
      error: null,
    });
    await pair.clock.advance(RPC_MS_MAX);
    expect(await outcome).toMatchObject({ code: 'timeout' });
  });
});

describe('the bounds of calls', () => {
  it('holds for those of ours that wait', async () => {
    const pair = new Pair();
    const waiting = Array.from({ length: ASKED_MAX }, () => pair.cp.ask('log_level', level));
    expect(await pair.cp.ask('log_level', level)).toMatchObject({ code: 'busy' });
    await pair.clock.advance(RPC_MS_MAX);
    for (const outcome of await Promise.all(waiting)) {
      expect(outcome).toMatchObject({ code: 'timeout' });
    }
    void pair.cp.ask('log_level', level);
    expect(pair.down).toHaveLength(ASKED_MAX + 1);
  });

  it('holds for those of theirs that are being done; what hangs keeps its place', async () => {
    const hanging: ((value: { level: string }) => void)[] = [];
    const pair = new Pair({
      down: { log_level: () => new Promise((resolve) => hanging.push(resolve)) },
    });
    const params = JSON.stringify(level);
    for (let id = 0; id < SERVED_MAX; id += 1) pair.node.receive(call(id, 'log_level', params));
    expect(pair.up).toEqual([]);
    pair.node.receive(call(99, 'log_level', params));
    expect(pair.up.splice(0)).toMatchObject([{ id: 99, ...refusedAs('busy') }]);
    await pair.clock.advance(RPC_MS_MAX);
    expect(pair.up.splice(0)).toMatchObject(
      Array.from({ length: SERVED_MAX }, () => refusedAs('timeout')),
    );
    pair.node.receive(call(100, 'log_level', params));
    expect(pair.up.splice(0)).toMatchObject([{ id: 100, ...refusedAs('busy') }]);
    hanging[0]?.({ level: 'info' });
    await pair.carry();
    pair.node.receive(call(101, 'log_level', params));
    expect(pair.up).toEqual([]);
    expect(hanging).toHaveLength(SERVED_MAX + 1);
  });

  it('holds for how many come a second', async () => {
    const pair = new Pair();
    const given = (): number => {
      pair.node.receive(call(1, 'nothing', '{}'));
      return pair.up.splice(0).filter((frame) => JSON.stringify(frame).includes('busy')).length;
    };
    const busy = (count: number): number =>
      Array.from({ length: count }, given).reduce((sum, one) => sum + one, 0);
    expect(busy(CALLS_BURST_MAX)).toBe(0);
    expect(busy(5)).toBe(5);
    await pair.clock.advance(1000);
    expect(busy(CALLS_PER_SECOND_MAX)).toBe(0);
    expect(busy(5)).toBe(5);
  });

  it('holds for the length of what is asked and answered', async () => {
    const pair = new Pair({
      down: { log_level: () => ({ level: 'x'.repeat(RPC_TEXT_LENGTH_MAX) }) },
    });
    const name = 'x'.repeat(RPC_TEXT_LENGTH_MAX);
    const target = { ws: 'w', target: 't', address: null, healthy: true };
    expect(await pair.cp.ask('target_health', { ...target, name })).toMatchObject({
      code: 'bad_params',
    });
    const outcome = pair.cp.ask('log_level', level);
    await pair.carry();
    expect(await outcome).toMatchObject({ code: 'failed', detail: 'too long an answer' });
  });
});

describe('the methods of a node', () => {
  it('are told among its features', () => {
    expect(methodsIn(['health', featureOf('drain'), 'rpc.later'])).toEqual(['drain', 'later']);
  });
});
