import { describe, expect, it } from 'vitest';
import type { PluginHandler } from '../plugins/plugin.ts';
import { UpstreamError, type StreamUpstream, type Tunnel } from '../platform/platform.ts';
import type { Tables } from '../tables/tables.ts';
import { testPlugin, TestConfig } from '../../test/support/builders.ts';
import { FakeAbort, FakePlatform } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { handleStream, type StreamOptions } from './stream.ts';
import type { StreamLogEntry, StreamSession } from './stream-context.ts';

class FakeTunnel implements Tunnel {
  cancel(): void {}
}

class World {
  readonly platform = new FakePlatform();
  readonly log: StreamLogEntry[] = [];
  readonly dialled: StreamUpstream[] = [];
  answer: (upstream: StreamUpstream) => Tunnel = () => new FakeTunnel();
  readonly options: StreamOptions;

  constructor(tables: Tables | null, changes: Partial<StreamOptions> = {}) {
    this.options = {
      platform: this.platform,
      transport: {
        connect: async (upstream) => {
          this.dialled.push(upstream);
          return this.answer(upstream);
        },
      },
      tables: () => tables,
      upstreamActiveMax: 100,
      targetActiveMax: 100,
      accessLog: (entry) => this.log.push(entry),
      ...changes,
    };
  }

  handle(changes: Partial<StreamSession> = {}) {
    return handleStream(session(changes), this.options);
  }

  /** Why the one session that there was ended. */
  get end(): string | undefined {
    expect(this.log).toHaveLength(1);
    return this.log[0]?.session.end;
  }
}

function session(changes: Partial<StreamSession> = {}): StreamSession {
  return {
    protocol: 'tcp',
    serverName: null,
    peerAddress: '192.0.2.1',
    peerPort: 50_000,
    localAddress: '192.0.2.2',
    localPort: 9000,
    abort: new FakeAbort(),
    terminateTls: () => Promise.resolve(),
    ...changes,
  };
}

const TCP = { protocols: ['tcp'], destinations: [{ port: 9000 }] };

function config(route: object = TCP, service: object = {}): TestConfig {
  const made = new TestConfig();
  const { id } = made.service({ protocol: 'tcp', host: '10.0.0.1', port: 70, ...service });
  made.route({ ...route, service: { id } });
  return made;
}

const OVER = { complete: true, end: 'ended', bytesFromClient: 3, bytesToClient: 4 };

describe('a session', () => {
  it('goes to the service of its route, with the service’s timeouts', async () => {
    const world = new World(
      config(TCP, { connect_timeout: 1, write_timeout: 2, read_timeout: 3 }).tables(),
    );

    const answer = await world.handle();
    answer?.onFinish(OVER);

    expect(world.dialled[0]).toMatchObject({
      protocol: 'tcp',
      host: '10.0.0.1',
      port: 70,
      connectTimeoutMs: 1,
      writeTimeoutMs: 2,
      readTimeoutMs: 3,
      tls: null,
    });
    expect(world.log[0]?.session).toMatchObject({ status: 200, received: 3, sent: 4 });
  });

  it('is closed before the first configuration', async () => {
    const world = new World(null);

    expect(await world.handle()).toBe(null);
    expect(world.end).toBe('no configuration available');
  });

  it('is closed where its route has no service', async () => {
    const made = new TestConfig();
    made.add('routes', TCP);
    const world = new World(made.tables());

    expect(await world.handle()).toBe(null);
    expect(world.end).toBe('no service');
  });

  it('is closed where its service takes requests', async () => {
    const world = new World(config(TCP, { protocol: 'http' }).tables());

    expect(await world.handle()).toBe(null);
    expect(world.end).toBe('no valid configuration');
  });

  it('of datagrams does not go to a service of connections', async () => {
    const world = new World(config({ ...TCP, protocols: ['udp'] }).tables());

    expect(await world.handle({ protocol: 'udp' })).toBe(null);
    expect(world.end).toBe('protocol not of the service');
  });

  it('ends TLS before any plugin runs, and is closed when that fails', async () => {
    const order: string[] = [];
    const made = config({ protocols: ['tls'], snis: ['a.test'] });
    guard(made, 'watch', { preread: () => void order.push('plugin') });
    const world = new World(made.tables());
    const tls = { protocol: 'tls', serverName: 'a.test' } as const;

    await world.handle({
      ...tls,
      terminateTls: async () => {
        order.push('tls');
      },
    });
    expect(order).toEqual(['tls', 'plugin']);

    const failed = new World(made.tables());
    await failed.handle({ ...tls, terminateTls: () => Promise.reject(new Error('alert')) });
    expect(failed.end).toBe('tls handshake');
    expect(failed.dialled).toHaveLength(0);
  });

  it('leaves TLS alone where the route passes it through', async () => {
    const made = config({ protocols: ['tls_passthrough'], snis: ['a.test'] });
    const world = new World(made.tables());
    const terminateTls = () => Promise.reject(new Error('must not'));

    const answer = await world.handle({ protocol: 'tls', serverName: 'a.test', terminateTls });

    expect(answer).not.toBe(null);
  });
});

describe('the tries of a session', () => {
  const fail = (failure: 'connect' | 'connect_timeout') => () => {
    throw new UpstreamError(failure, false);
  };

  it('are one more than the retries of its service', async () => {
    const world = new World(config(TCP, { retries: 2 }).tables());
    world.answer = fail('connect');

    expect(await world.handle()).toBe(null);

    expect(world.dialled).toHaveLength(3);
    expect(world.end).toBe('upstream connect');
  });

  it('stop when the client has gone', async () => {
    const world = new World(config(TCP, { retries: 5 }).tables());
    const abort = new FakeAbort();
    world.answer = () => {
      abort.fire();
      throw new UpstreamError('aborted', false);
    };

    await world.handle({ abort });

    expect(world.dialled).toHaveLength(1);
  });

  it('are counted against their target, which is left out then', async () => {
    const made = config(TCP, { host: 'pair', retries: 0 });
    const upstream = made.add('upstreams', {
      name: 'pair',
      healthchecks: { passive: { unhealthy: { tcp_failures: 1 } } },
    });
    for (const target of ['10.0.0.1:1', '10.0.0.2:1']) {
      made.add('targets', { target, upstream: { id: upstream.id } });
    }
    const tables = made.tables();
    const world = new World(tables);
    // Health is counted by what is served.
    void new TestGateway(tables);
    world.answer = ({ host }) => {
      if (host === '10.0.0.1') throw new UpstreamError('connect', false);
      return new FakeTunnel();
    };

    for (let i = 0; i < 10; i += 1) await world.handle();

    expect(world.dialled.filter(({ host }) => host === '10.0.0.1')).toHaveLength(1);
  });

  it('are not made beyond what may be under way, and give their place back', async () => {
    const world = new World(config().tables(), { targetActiveMax: 1 });

    const first = await world.handle();
    expect(await world.handle()).toBe(null);
    first?.onFinish(OVER);

    expect(await world.handle()).not.toBe(null);
  });
});

describe('plugins of a session', () => {
  it('may refuse it', async () => {
    const made = config();
    guard(made, 'doorman', { preread: async () => ({ reason: 'not today' }) });
    const world = new World(made.tables());

    expect(await world.handle()).toBe(null);
    expect(world.end).toBe('doorman: not today');
    expect(world.dialled).toHaveLength(0);
  });

  it('close it when they crash', async () => {
    const made = config();
    guard(made, 'broken', {
      preread: () => {
        throw new Error('oops');
      },
    });
    const world = new World(made.tables());

    expect(await world.handle()).toBe(null);
    expect(world.end).toBe('crash of broken');
    expect(world.platform.logs.at(-1)).toMatchObject({ message: 'plugin crashed' });
  });

  it('close it when they protect and have nothing to say of connections', async () => {
    const made = config();
    guard(made, 'guard', { access: () => undefined });
    const world = new World(made.tables());

    expect(await world.handle()).toBe(null);
    expect(world.end).toBe('closed by guard');
  });

  it('that are for requests do not concern it', async () => {
    const made = config();
    made.provide(testPlugin('guard', { access: () => undefined }));
    made.plugin('guard', {}, { protocols: ['http'] });
    const world = new World(made.tables());

    expect(await world.handle()).not.toBe(null);
  });

  it('hear of its end', async () => {
    const made = config();
    const heard: StreamLogEntry[] = [];
    guard(made, 'log', {
      preread: () => undefined,
      streamLog: (_ctx, entry) => void heard.push(entry),
    });
    const world = new World(made.tables());

    (await world.handle())?.onFinish(OVER);
    await Promise.all(world.platform.pending);

    expect(heard.map((entry) => entry.session.received)).toEqual([3]);
  });
});

function guard(made: TestConfig, name: string, handler: PluginHandler<unknown>): void {
  made.provide(testPlugin(name, handler));
  made.plugin(name, {}, { protocols: ['tcp', 'tls'] });
}
