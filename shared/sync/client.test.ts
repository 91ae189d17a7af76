import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import { base64url } from '../base/bytes.ts';
import { secretOf } from '../../test/support/join-token.ts';
import { testRecord } from '../../test/support/scripted-control-plane.ts';
import { nodeCrypto } from '../platform/node/crypto.ts';
import type { ConnectionEvents, Connector } from '../platform/platform.ts';
import { CLOSE } from '../wire/close-codes.ts';
import { SILENCE_MAX_MS } from '../wire/protocol.ts';
import { RETRY_MS_MAX, SLOW_RETRY_MS_MAX, SLOW_RETRY_MS_MIN } from './backoff.ts';
import { SAVE_RETRY_MS, SAVE_WAIT_MS_MAX } from './client.ts';
import { ADDRESS, URL_OF_ADDRESS, World } from './client.suite.ts';

const records = (count: number, version = 1) =>
  Array.from({ length: count }, (_, i) => testRecord(`r${i}`, version));

describe('a data plane that joins', () => {
  it('enrols, takes the configuration, serves it, saves it, and only then acknowledges', async () => {
    const world = await World.create(1);
    await world.cp.publish(records(3));

    await world.live();
    await world.converge();

    expect(world.heard('enrol')).toHaveLength(1);
    expect(world.revisions).toEqual([1]);
    expect(world.heard('ack')).toMatchObject([
      { position: world.cp.head?.position, persisted: true, quarantined: [] },
    ]);
    expect((await world.onDisk())?.replica.hash).toBe(world.cp.head?.position.hash);
    const [secret] = world.client.identity?.groupSecrets ?? [];
    expect(base64url(secret?.secret ?? new Uint8Array())).toBe(base64url(world.cp.secret.bytes));
  });

  it('confirms its join counter, and says hello with it ever after', async () => {
    const world = await World.create(2);
    await world.live();
    await world.clock.advance(10);
    expect([...world.cp.nodes.values()]).toMatchObject([{ joinSeq: 1, pending: null }]);

    await world.restart();
    world.client.start();
    await world.clock.until(() => world.client.status().tag === 'live');

    expect(world.heard('enrol')).toHaveLength(1);
    expect(world.heard('hello')).toMatchObject([{ join_seq: 1, host: 'cp.test' }]);
    expect(world.cp.retired).toBe(0);
  });

  it('says nothing to a control plane that its token does not name', async () => {
    const world = await World.create(3);
    const other = await World.create(4);
    world.network.listen(URL_OF_ADDRESS, (end) => other.cp.accept(end));
    await world.client.boot();
    world.client.start();
    await world.clock.advance(60_000);

    expect(other.cp.heard).toEqual([]);
    expect(world.client.status().lastError).toContain('the join token is of another cluster');
  });

  it('names the cure when its control plane was made anew', async () => {
    const world = await World.create(5);
    await world.live();
    const other = await World.create(6);
    world.network.unlisten(URL_OF_ADDRESS);
    world.network.listen(URL_OF_ADDRESS, (end) => other.cp.accept(end));
    await world.clock.advance(10_000);

    expect(other.cp.heard).toEqual([]);
    expect(world.client.status().lastError).toContain('remove its identity');
  });

  it('joins once although its welcome gets lost, with a token that is good for once', async () => {
    const world = await World.create(7);
    let lost = 0;
    world.fault = (what, text) => {
      if (what !== 'down' || !text.includes('"welcome"') || lost >= 3) return null;
      lost += 1;
      return 'cut';
    };
    await world.live();

    expect(lost).toBe(3);
    expect(world.cp.nodes.size).toBe(1);
    expect(world.cp.tokenUses).toBe(0);
  });

  it('joins once although it dies between asking and hearing', async () => {
    const world = await World.create(8);
    world.fault = (what, text) => (what === 'down' && text.includes('"welcome"') ? 'cut' : null);
    await world.client.boot();
    world.client.start();
    await world.clock.until(() => world.cp.nodes.size === 1);
    world.fault = () => null;
    await world.restart();
    world.client.start();
    await world.clock.until(() => world.client.status().tag === 'live');

    expect(world.cp.nodes.size).toBe(1);
  });

  it('never writes its secrets into a log or a frame', async () => {
    const world = await World.create(9);
    await world.cp.publish(records(2));
    await world.live();
    await world.converge();
    const { identity } = world.client;
    const said = JSON.stringify([world.logs, world.cp.heard]);

    expect(identity).not.toBeNull();
    for (const secret of [
      identity?.signing.privateKey,
      identity?.sealing.privateKey,
      world.cp.secret.bytes,
    ]) {
      expect(said).not.toContain(base64url(secret ?? new Uint8Array()));
    }
    expect(said).not.toContain(secretOf(world.cp.joinToken));
  });

  it('builds again when the secrets of its group change', async () => {
    const world = await World.create(10);
    await world.cp.publish(records(2));
    await world.live();
    await world.converge();
    world.cp.secret = { generation: 2, bytes: world.random.bytes(32) };
    for (const session of world.cp.sessions) session.close(CLOSE.normal);
    await world.clock.until(() => world.swapped.length === 2);

    expect(world.swapped.map(({ pepper }) => pepper)).toEqual([1, 2]);
  });
});

describe('a data plane with news', () => {
  it('follows by deltas', async () => {
    const world = await World.create(20);
    await world.cp.publish(records(500));
    await world.live();
    await world.converge();
    const wanted = world.heard('want').length;
    await world.cp.publish([testRecord('r7', 2)], [testRecord('r8')]);
    await world.converge();

    expect(world.revisions).toEqual([1, 2]);
    expect(world.heard('want')).toHaveLength(wanted);
    expect(world.client.served?.tree.hash).toBe(world.cp.head?.tree.hash);
  });

  it('fetches only the nodes that differ when it missed more than a delta', async () => {
    const world = await World.create(21);
    await world.cp.publish(records(3000));
    await world.live();
    await world.converge();
    const before = world.heard('want').flatMap(({ ids }) => ids).length;
    world.halt();
    await world.cp.publish([testRecord('r1', 2)]);
    // Of a base that this control plane does not know any more.
    world.cp.history.splice(0, 1);
    await world.restart();
    world.client.start();
    await world.converge();
    const after = world.heard('want').flatMap(({ ids }) => ids).length - before;

    expect(before).toBeGreaterThan(40);
    expect(after).toBeLessThanOrEqual(3);
  });

  it('fetches the nodes when a delta does not lead to what was signed', async () => {
    const world = await World.create(22);
    await world.cp.publish(records(300));
    await world.live();
    await world.converge();
    const tampered = testRecord('r1', 9).text;
    world.network.unlisten(URL_OF_ADDRESS);
    world.network.listen(URL_OF_ADDRESS, (end) =>
      world.cp.accept({
        ...end,
        address: end.address,
        send: (text) => {
          const frame = JSON.parse(text);
          if (frame.type === 'delta') frame.upserts = [tampered];
          end.send(JSON.stringify(frame));
        },
        close: (code, reason) => end.close(code, reason),
      }),
    );
    await world.clock.until(() => world.client.status().tag === 'live');
    await world.cp.publish([testRecord('r1', 2)]);
    await world.converge();

    expect(world.client.served?.tree.hash).toBe(world.cp.head?.tree.hash);
    expect(world.heard('nack')).toEqual([]);
  });

  it('builds only the newest of what arrives while it builds', async () => {
    const world = await World.create(23);
    await world.cp.publish(records(2));
    await world.live();
    await world.converge();
    let release: () => void = () => {};
    world.build = () =>
      new Promise((resolve) => {
        release = () => resolve({ ok: true, quarantined: [] });
      });
    const [session] = world.cp.sessions;
    const revisions = [2, 3, 4, 5];
    for (const revision of revisions) {
      const { head } = await world.cp.publish([testRecord('r1', revision)]);
      session?.send({ type: 'manifest', head });
      await world.clock.advance(100);
    }
    world.build = () => ({ ok: true, quarantined: [] });
    release();
    await world.converge();

    expect(world.revisions).toEqual([1, 2, 5]);
  });

  it('refuses what cannot be built, says which entity, keeps what it has, and takes the next', async () => {
    const world = await World.create(24);
    await world.cp.publish(records(2));
    await world.live();
    await world.converge();
    const entity = { kind: 'routes', id: 'r1' };
    world.build = ({ replica }) =>
      replica.revision === 2
        ? { ok: false, entity, detail: 'a bad regex' }
        : { ok: true, quarantined: [] };
    const poison = await world.cp.publish([testRecord('r1', 2)]);
    await world.clock.advance(1000);

    expect(world.client.status()).toMatchObject({ revision: 1, tag: 'live' });
    expect(world.client.status().lastError).toContain('a bad regex');
    expect(world.heard('nack')).toMatchObject([
      { code: 'build_failed', entity, detail: 'a bad regex', position: poison.position },
    ]);
    expect((await world.onDisk())?.replica.revision).toBe(1);

    await world.cp.publish([testRecord('r1', 3)]);
    await world.converge();
    expect(world.revisions).toEqual([1, 3]);
    expect(world.client.status().lastError).toBeNull();
  });

  it('takes an exception in the building for a refusal', async () => {
    const world = await World.create(25);
    world.build = () => {
      throw new Error('a bug');
    };
    await world.cp.publish(records(1));
    await world.live();
    await world.clock.advance(1000);

    expect(world.heard('nack')).toMatchObject([{ code: 'build_failed', detail: 'a bug' }]);
  });

  it('serves without a disk, and says that nothing was persisted', async () => {
    const world = await World.create(26);
    await world.live();
    world.disk.isFull = true;
    await world.cp.publish(records(1));
    await world.converge();
    await world.clock.advance(100);

    expect(world.heard('ack')).toMatchObject([{ persisted: false }]);
    expect(world.logs.some(({ message }) => message === 'the configuration cannot be saved')).toBe(
      true,
    );
  });

  it('saves it as soon as it can, and says so', async () => {
    const world = await World.create(28);
    await world.live();
    world.disk.isFull = true;
    await world.cp.publish(records(1));
    await world.converge();
    await world.clock.advance(3 * SAVE_RETRY_MS);
    expect(world.heard('ack')).toMatchObject([{ persisted: false }]);
    expect(world.client.status().persisted).toBe(false);

    world.disk.isFull = false;
    await world.clock.advance(SAVE_RETRY_MS);
    expect(world.heard('ack')).toMatchObject([{ persisted: false }, { persisted: true }]);
    expect(world.client.status().persisted).toBe(true);
    expect(world.disk.config).not.toBeNull();
    // Once.
    await world.clock.advance(10 * SAVE_RETRY_MS);
    expect(world.heard('ack')).toHaveLength(2);
  });

  it('never saves an older one again over a newer one that waits for a slow disk', async () => {
    const world = await World.create(30);
    await world.live();
    let open: () => void = () => {};
    world.disk.gate = new Promise((resolve) => (open = resolve));
    await world.cp.publish(records(1));
    await world.converge();
    // Just before it would be tried again.
    await world.clock.advance(SAVE_RETRY_MS - 100);
    await world.cp.publish([testRecord('r0', 2)]);
    await world.clock.advance(1_000);
    open();
    await world.converge();
    await world.clock.advance(3 * SAVE_RETRY_MS);

    expect(world.client.status().persisted).toBe(true);
    expect(JSON.parse(world.disk.config?.manifest ?? '{}')).toMatchObject({ revision: 2 });
  });

  it('says what it saved while it was out of touch when it is back', async () => {
    const world = await World.create(29);
    await world.live();
    world.disk.isFull = true;
    await world.cp.publish(records(1));
    await world.converge();
    for (const session of world.cp.sessions) session.close(1006);
    world.network.unlisten(URL_OF_ADDRESS);
    await world.clock.advance(100);
    world.disk.isFull = false;
    await world.clock.advance(SAVE_RETRY_MS);
    expect(world.heard('ack')).toHaveLength(1);
    world.network.listen(URL_OF_ADDRESS, (end) => world.cp.accept(end));
    await world.clock.until(() => world.client.status().tag === 'live');
    await world.clock.advance(100);
    expect(world.heard('ack')).toMatchObject([{ persisted: false }, { persisted: true }]);
  });

  it('serves what was held back, if nothing is served by then', async () => {
    const world = await World.create(32);
    await world.cp.publish(records(1));
    await world.live();
    await world.converge();
    const first = must(world.client.served, 'the first');
    world.client.serveAfterAll(first);
    await world.clock.advance(100);
    expect(world.revisions).toEqual([1]);

    world.disk.config = null;
    await world.restart();
    world.client.serveAfterAll(first);
    await world.clock.advance(100);
    expect(world.revisions).toEqual([1, 1]);
    expect(world.client.status().revision).toBe(1);
  });

  it('does not wait for a disk that hangs', async () => {
    const world = await World.create(27);
    await world.live();
    world.disk.gate = new Promise(() => {});
    await world.cp.publish(records(1));
    await world.clock.advance(SAVE_WAIT_MS_MAX + 1000);

    expect(world.heard('ack')).toMatchObject([{ persisted: false }]);
    expect(world.client.status().revision).toBe(1);
  });
});

describe('a data plane that is lied to', () => {
  it('refuses an older configuration, from the wire and after a restart from the disk', async () => {
    const world = await World.create(30);
    const old = await world.cp.publish(records(2));
    await world.live();
    await world.converge();
    const oldConfig = world.disk.config;
    await world.cp.publish([testRecord('r1', 2)]);
    await world.converge();

    for (const session of world.cp.sessions) session.send({ type: 'manifest', head: old.head });
    await world.clock.advance(1000);
    expect(world.heard('nack')).toMatchObject([{ code: 'not_newer', position: old.position }]);
    expect(world.client.status().revision).toBe(2);

    world.disk.config = oldConfig;
    expect(await world.restart()).toBe(false);
    expect(world.logs.at(-1)).toMatchObject({ message: 'the stored configuration is refused' });
    expect(world.client.status().revision).toBe(0);
  });

  it('refuses an older configuration even when its cache was taken away', async () => {
    const world = await World.create(31);
    const old = await world.cp.publish(records(2));
    await world.live();
    await world.cp.publish([testRecord('r1', 2)]);
    await world.converge();
    world.disk.config = null;
    world.cp.history.splice(0, world.cp.history.length, old);
    await world.restart();
    world.client.start();
    await world.clock.advance(5000);

    expect(world.client.status().revision).toBe(0);
    expect(world.heard('nack').at(-1)).toMatchObject({ code: 'not_newer' });
  });

  it('refuses a second manifest under a number that it holds', async () => {
    const world = await World.create(32);
    await world.cp.publish(records(2));
    await world.live();
    await world.converge();
    await world.cp.publish([testRecord('r1', 2)], [], { revision: 1 });
    await world.clock.advance(1000);

    expect(world.heard('nack')).toMatchObject([{ code: 'not_newer' }]);
    expect(world.client.status().hash).toBe(world.cp.history[0]?.position.hash);
  });

  it.each([
    ['empty', ''],
    ['not JSON', '{'],
    ['unknown', '{"type":"delete_everything"}'],
    ['of a wrong shape', '{"type":"manifest","head":{}}'],
    ['out of order', '{"type":"pong","position":{"epoch":0,"revision":0,"hash":""}}'],
  ])('hangs up on a frame that is %s, and comes back', async (_name, text) => {
    const world = await World.create(33);
    let isOpen = false;
    world.network.listen(URL_OF_ADDRESS, (end) => {
      if (isOpen) return world.cp.accept(end);
      isOpen = true;
      end.send(text);
      return { message: () => {}, close: () => {} };
    });
    await world.live();

    // At once, and not when the handshake has taken too long.
    expect(world.network.dialled).toHaveLength(2);
    expect(world.network.dialled[1]?.atMs).toBeLessThan(1000);
  });
});

describe('a data plane and its cache', () => {
  const damage: [string, (text: string) => string][] = [
    ['truncated', (text) => text.slice(0, text.length / 2)],
    [
      'bit-flipped',
      (text) => text.replace(/[0-9a-f](?=[^0-9a-f]*$)/, (c) => (c === '0' ? '1' : '0')),
    ],
    ['empty', () => ''],
  ];

  it.each(damage)('starts without a cache that is %s, says so, and asks', async (_name, change) => {
    const world = await World.create(40);
    await world.cp.publish(records(300));
    await world.live();
    await world.converge();
    const good = world.disk.config;
    if (good === null) throw new Error('nothing was saved');
    const damaged = [
      { ...good, manifest: change(good.manifest) },
      { ...good, signature: change(good.signature) },
      { ...good, keyList: change(good.keyList) },
      { ...good, keyListSignature: change(good.keyListSignature) },
      { ...good, nodes: new Map([...good.nodes].map(([id, text]) => [id, change(text)])) },
      { ...good, nodes: new Map() },
    ];
    for (const config of damaged) {
      world.disk.config = config;
      expect(await world.restart()).toBe(false);
      expect(world.logs.at(-1)).toMatchObject({
        level: 'warn',
        message: 'the stored configuration is refused',
      });
    }
    world.client.start();
    await world.converge();
    expect((await world.onDisk())?.replica.hash).toBe(world.cp.head?.position.hash);
  });

  it('serves what it stored while no control plane is there', async () => {
    const world = await World.create(41);
    await world.cp.publish(records(300));
    await world.live();
    await world.converge();
    world.network.unlisten(URL_OF_ADDRESS);

    expect(await world.restart()).toBe(true);
    world.client.start();
    await world.clock.advance(120_000);

    expect(world.client.status()).toMatchObject({
      revision: 1,
      tag: expect.stringMatching(/disc|conn/),
    });
    expect(world.client.status().staleSinceMs).not.toBeNull();
  });

  it('takes a configuration that its caller has loaded already', async () => {
    const world = await World.create(42);
    await world.cp.publish(records(3));
    await world.live();
    await world.converge();
    const cached = await world.onDisk();
    world.halt();
    world.swapped.length = 0;
    const fresh = await World.create(42);
    fresh.disk.identity = world.disk.identity;
    expect(await fresh.client.boot(cached)).toBe(true);

    expect(fresh.client.status().revision).toBe(1);
    expect(fresh.swapped).toEqual([]);
  });

  it('says that it lost its cache when there should be one', async () => {
    const world = await World.create(43);
    await world.cp.publish(records(3));
    await world.live();
    await world.converge();
    world.disk.config = null;
    await world.restart();

    expect(world.logs.at(-1)).toMatchObject({ level: 'warn' });
    expect(world.logs.at(-1)?.message).toContain('no usable configuration is stored');
  });
});

describe('a data plane that loses touch', () => {
  /** Milliseconds between one end and the next try. */
  function delays(world: World): number[] {
    const times = world.network.dialled.map(({ atMs }) => atMs);
    return times.slice(1).map((atMs, i) => atMs - (times[i] ?? 0));
  }

  it('tries for ever, with jitter, never waiting longer than five seconds', async () => {
    const world = await World.create(50);
    world.network.unlisten(URL_OF_ADDRESS);
    await world.client.boot();
    world.client.start();
    await world.clock.advance(600_000);
    const waits = delays(world);

    expect(waits.length).toBeGreaterThan(150);
    expect(Math.max(...waits)).toBeLessThanOrEqual(RETRY_MS_MAX + 10);
    expect(new Set(waits).size).toBeGreaterThan(100);
    expect(world.clock.timerCount).toBeLessThanOrEqual(2);
  });

  it.each([
    ['revoked', CLOSE.revoked],
    ['unauthorized', CLOSE.unauthorized],
    ['incompatible', CLOSE.incompatible],
    ['superseded', CLOSE.superseded],
  ])('waits the long way and cries out when it is %s', async (_name, code) => {
    const world = await World.create(51);
    world.network.listen(URL_OF_ADDRESS, (end) => {
      end.close(code, 'no');
      return { message: () => {}, close: () => {} };
    });
    await world.client.boot();
    world.client.start();
    await world.clock.advance(300_000);
    const waits = delays(world);

    expect(Math.min(...waits)).toBeGreaterThanOrEqual(SLOW_RETRY_MS_MIN);
    expect(Math.max(...waits)).toBeLessThanOrEqual(SLOW_RETRY_MS_MAX + 10);
    expect(world.logs.filter(({ level }) => level === 'error').length).toBeGreaterThan(5);
  });

  it.each(['close reason', 'goaway'])('waits as long as it is asked to by a %s', async (how) => {
    const world = await World.create(52);
    world.network.listen(URL_OF_ADDRESS, (end) => {
      if (how === 'goaway') {
        end.send(JSON.stringify({ type: 'goaway', retry_after_ms: 7000, control_planes: [] }));
      } else end.close(CLOSE.overloaded, 'retry_after_ms=7000');
      return { message: () => {}, close: () => {} };
    });
    await world.client.boot();
    world.client.start();
    await world.clock.advance(100_000);
    const waits = delays(world);

    expect(waits.length).toBeGreaterThan(5);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(7000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(10_510);
  });

  it('notices a peer that has gone silent, one-way partitions included', async () => {
    const world = await World.create(53);
    await world.live();
    world.fault = (what) => (what === 'down' ? 'swallow' : null);
    await world.clock.until(() => world.client.status().tag !== 'live', SILENCE_MAX_MS + 100);
    world.fault = () => null;
    await world.clock.until(() => world.client.status().tag === 'live', 15_000 + 5000 + 100);
  });

  it('hears nothing of a connection that it has left, whatever that still says', async () => {
    const world = await World.create(58);
    const left: ConnectionEvents[] = [];
    const connector: Connector = {
      open: (address, events) => {
        left.push(events);
        return world.network.open(address, events);
      },
    };
    await world.restart({ connector });
    world.client.start();
    await world.clock.until(() => world.client.status().tag === 'live');
    for (const session of world.cp.sessions)
      session.send({ type: 'goaway', retry_after_ms: 0, control_planes: [] });
    await world.clock.until(() => left.length === 2 && world.client.status().tag === 'live');
    left[0]?.message('garbage');
    left[0]?.close(1006, '');
    await world.clock.advance(10);

    expect(world.client.status().tag).toBe('live');
    expect(left).toHaveLength(2);
  });

  it('does not answer one challenge on another connection', async () => {
    const world = await World.create(59);
    const slowCrypto = {
      ...nodeCrypto,
      sign: async (key: Uint8Array, data: Uint8Array) => {
        await new Promise<void>((resolve) => world.clock.setTimer(2000, resolve));
        return nodeCrypto.sign(key, data);
      },
    };
    let cuts = 0;
    world.fault = (what, text) => {
      if (what !== 'down' || !text.includes('"challenge"') || cuts > 0) return null;
      cuts += 1;
      world.clock.setTimer(100, () => {
        for (const session of world.cp.sessions) session.close(1006);
      });
      return null;
    };
    await world.restart({ crypto: slowCrypto });
    world.client.start();
    await world.clock.until(() => world.client.status().tag === 'live', 10_000);

    expect(world.heard('enrol')).toHaveLength(1);
  });

  it('takes a connector that throws for a connection that failed', async () => {
    const world = await World.create(61);
    let tries = 0;
    const connector: Connector = {
      open: () => {
        tries += 1;
        throw new Error('not an address');
      },
    };
    await world.restart({ connector });
    world.client.start();
    await world.clock.advance(60_000);
    expect(tries).toBeGreaterThan(10);
    expect(world.client.status().lastError).toContain('not an address');
  });

  it('stays while it hears its pings answered', async () => {
    const world = await World.create(54);
    await world.live();
    await world.clock.advance(300_000);

    expect(world.network.dialled).toHaveLength(1);
    expect(world.heard('ping').length).toBeGreaterThanOrEqual(29);
  });

  it('goes on to the next control plane, and learns of others from the manifest', async () => {
    const world = await World.create(55, { controlPlanes: ['wss://a.test', 'wss://b.test:7000'] });
    world.network.listen('wss://b.test:7000/headgate/v1/sync', (end) => world.cp.accept(end));
    world.cp.controlPlanes = ['wss://c.test', 'ws://plain.test'];
    await world.cp.publish(records(1));
    await world.live();
    await world.converge();
    expect(world.client.status().controlPlane).toBe('wss://b.test:7000');

    world.network.unlisten('wss://b.test:7000/headgate/v1/sync');
    world.network.listen('wss://c.test/headgate/v1/sync', (end) => world.cp.accept(end));
    await world.clock.until(() => world.client.status().tag === 'live');

    expect(world.client.status().controlPlane).toBe('wss://c.test');
    const dialled = new Set(world.network.dialled.map(({ address }) => address));
    expect([...dialled].some((address) => address.includes('plain'))).toBe(false);
    expect(world.cp.retired).toBe(0);
  });

  it('shows that news are withheld', async () => {
    const world = await World.create(56);
    await world.cp.publish(records(1));
    await world.live();
    await world.converge();
    expect(world.client.status().staleSinceMs).toBeNull();

    world.fault = (what, text) => (what === 'down' && text.includes('"delta"') ? 'swallow' : null);
    await world.cp.publish([testRecord('r0', 2)]);
    await world.clock.advance(21_000);
    expect(world.client.status().staleSinceMs).not.toBeNull();
  });

  it('stops, and lets go of everything', async () => {
    const world = await World.create(57);
    await world.live();
    await world.client.stop();
    await world.clock.advance(60_000);

    expect(world.client.status().tag).toBe('stopped');
    expect(world.network.linkCount).toBe(0);
    expect(world.clock.timerCount).toBe(0);
    expect(world.network.dialled).toHaveLength(1);
  });
});

it('names addresses as they were configured', async () => {
  const world = await World.create(60);
  await world.live();
  expect(world.client.status().controlPlane).toBe(ADDRESS);
});
