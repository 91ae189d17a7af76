import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { isPromise } from '#shared/base/maybe-promise.ts';
import { ResolveError } from '#shared/platform/platform.ts';
import { eventually } from '../../test/support/eventually.ts';
import { type NameServer, startNameServer } from '../../test/support/name-server.ts';
import { type ResolverRig, rigFor, shown } from './dns.suite.ts';

const started: NameServer | null = await startNameServer();

describe.skipIf(started === null)('the resolver, over a real name server', () => {
  const server = (): NameServer => must(started, 'a name server');
  const rig = (env: Readonly<Record<string, string>> = {}, lines: readonly string[] = []) =>
    rigFor([server()], env, lines);

  beforeAll(() => server().serve(RECORDS));
  afterAll(() => started?.remove());

  it.each([
    ['a', ['10.0.0.1', '10.0.0.2']],
    ['A.TEST.', ['10.0.0.1', '10.0.0.2']],
    ['six', ['fd00::6']],
    ['both', ['10.0.0.9']],
    ['alias', ['10.0.0.1', '10.0.0.2']],
    ['alias-of-alias', ['10.0.0.1', '10.0.0.2']],
    ['far', ['10.9.9.9']],
    ['www.wild', ['10.0.0.77']],
  ])('finds the addresses of %s', async (name, addresses) => {
    const { resolve } = rig({}, ['search test', 'options ndots:2']);
    expect(await resolve(name)).toEqual(addresses);
  });

  it.each([
    ['SRV,A', ['10.0.0.1:8080*2.5', '10.0.0.2:8080*2.5', '10.0.0.3:9090*1']],
    ['A,SRV', ['10.0.0.50']],
    ['AAAA,A', ['10.0.0.50']],
  ])('asks in the order that is set: %s', async (order, addresses) => {
    expect(await rig({ HEADGATE_DNS_ORDER: order }).resolve('svc.test')).toEqual(addresses);
  });

  it('takes the ports and weights of SRV records of the best priority, and their names', async () => {
    const { resolver } = rig();
    const { addresses } = await resolver.resolve('svc.test', true);
    expect(addresses.map(({ name }) => name)).toEqual(['a.test', 'a.test', 'three.test']);
    expect(shown(await resolver.resolve('svc.test', true))).toEqual([
      '10.0.0.1:8080*2.5',
      '10.0.0.2:8080*2.5',
      '10.0.0.3:9090*1',
    ]);
  });

  it('asks for no SRV records where they do not count', async () => {
    expect(await rig().resolve('svc.test', false)).toEqual(['10.0.0.50']);
  });

  it.each([
    ['which points to nothing', 'nothing.test', 'no such service'],
    ['of names that do not exist', 'broken.test', 'no addresses'],
    ['that does not exist', 'missing.test', 'no such name'],
    ['without addresses', 'text.test', 'no addresses'],
    ['that the server has nothing to say of', 'elsewhere.invalid', 'REFUSED'],
    ['of aliases in a circle', 'circle.test', 'too many aliases'],
  ])('says why a name does not resolve %s', async (_, name, reason) => {
    await expect(rig().resolve(name)).rejects.toThrow(
      new ResolveError(`${name} does not resolve: ${reason}`),
    );
  });

  it('falls back to addresses where SRV records are a name of themselves', async () => {
    expect(await rig().resolve('self.test')).toEqual(['10.0.0.60']);
  });

  it('asks over TCP for what does not fit into a datagram', async () => {
    expect(await rig().resolve('many.test')).toHaveLength(60);
  });

  it('answers at once what is known, until the record has ended', async () => {
    const { resolver, clock } = rig();
    const { expiresAt } = await resolver.resolve('a.test', true);
    expect(expiresAt).toBe(20_000);
    await clock.advance(19_999);
    expect(isPromise(resolver.resolve('a.test', true))).toBe(false);
  });

  it.each([
    ['HEADGATE_DNS_VALID_TTL', '5', 5_000],
    ['HEADGATE_DNS_STALE_TTL', '5', 20_000],
  ])('lets %s say how long records live', async (name, value, expiresAt) => {
    const { resolver } = rig({ [name]: value });
    expect((await resolver.resolve('a.test', true)).expiresAt).toBe(expiresAt);
  });

  it('takes a life of 0 as a second', async () => {
    expect((await rig().resolver.resolve('brief.test', true)).expiresAt).toBe(1000);
  });

  it('ends with the shortest life along the way', async () => {
    expect((await rig().resolver.resolve('alias.test', true)).expiresAt).toBe(10_000);
    expect((await rig().resolver.resolve('svc.test', true)).expiresAt).toBe(15_000);
  });

  describe('when records change', () => {
    afterAll(() => server().serve(RECORDS));

    it('serves the old ones while it asks for the new ones', async () => {
      const { resolver, clock, resolve } = rig();
      expect(await resolve('changing.test')).toEqual(['10.0.0.70']);
      await server().serve(['changing 30 A 10.0.0.71']);
      expect(await resolve('changing.test')).toEqual(['10.0.0.70']);
      await clock.advance(30_000);
      const stale = resolver.resolve('changing.test', true);
      expect(isPromise(stale)).toBe(false);
      expect(shown(await stale)).toEqual(['10.0.0.70']);
      expect((await stale).expiresAt).toBe(31_000);
      await eventually('the new address', async () => {
        const [address] = await resolve('changing.test');
        return address === '10.0.0.71';
      });
    });

    it('forgets a name that is gone for certain', async () => {
      await server().serve(['changing 30 A 10.0.0.70']);
      const { clock, resolve } = rig();
      expect(await resolve('changing.test')).toEqual(['10.0.0.70']);
      await server().serve([]);
      await eventually('that it is gone', async () => {
        // A server process of before may have answered once more, for another 30 s.
        await clock.advance(30_000);
        return (await failureOf(resolve('changing.test'))) === 'no such name';
      });
      await server().serve(['changing 30 A 10.0.0.70']);
      expect(await failureOf(resolve('changing.test'))).toBe('no such name');
      await clock.advance(30_000);
      expect(await resolve('changing.test')).toEqual(['10.0.0.70']);
    });
  });

  describe('when the server is away', () => {
    afterAll(async () => {
      await server().stop();
      await server().start();
    });

    it('fails soon, and asks again after a second', async () => {
      await server().stop();
      const { clock, resolve } = rig();
      expect(await failureOf(resolve('a.test'))).toMatch(/ECONNREFUSED/);
      await server().start();
      expect(await failureOf(resolve('a.test'))).toMatch(/ECONNREFUSED/);
      await clock.advance(1000);
      expect(await resolve('a.test')).toEqual(['10.0.0.1', '10.0.0.2']);
    });

    it('goes on with what was known for as long as is set, and no longer', async () => {
      const { resolver, clock, resolve } = rig({ HEADGATE_DNS_STALE_TTL: '100' });
      await resolve('a.test');
      await server().stop();
      await clock.advance(119_000);
      expect(await resolve('a.test')).toEqual(['10.0.0.1', '10.0.0.2']);
      await eventually('the failure noticed', async () => {
        const { expiresAt } = await resolver.resolve('a.test', true);
        return expiresAt === 120_000;
      });
      await clock.advance(1000);
      expect(await failureOf(resolve('a.test'))).toMatch(/ECONNREFUSED/);
    });

    it('asks the next server', async () => {
      await server().stop();
      await server().start();
      const gone = { address: '127.0.0.1', port: 1 } as const;
      const both = rigFor([gone, server()]);
      expect(await both.resolve('a.test')).toEqual(['10.0.0.1', '10.0.0.2']);
    });

    it('gives up on one that does not answer after its timeout, however often it is set', async () => {
      server().pause();
      try {
        const { resolve } = rig({}, ['options timeout:1 attempts:1']);
        const startedMs = performance.now();
        expect(await failureOf(resolve('a.test'))).toBe('no answer in time');
        expect(performance.now() - startedMs).toBeLessThan(1900);
      } finally {
        server().resume();
      }
    });

    it('waits for one that is slow', async () => {
      server().pause();
      const { resolve } = rig();
      const asked = resolve('a.test');
      setTimeout(() => server().resume(), 100);
      expect(await asked).toEqual(['10.0.0.1', '10.0.0.2']);
    });

    it('fails what is under way when it is closed', async () => {
      server().pause();
      try {
        const { resolver, resolve } = rig();
        const asked = failureOf(resolve('a.test'));
        resolver.close();
        expect(await asked).toMatch(/given up|closed/);
      } finally {
        server().resume();
      }
    });
  });
});

async function failureOf(answer: ReturnType<ResolverRig['resolve']>): Promise<string | null> {
  try {
    await answer;
    return null;
  } catch (error) {
    if (!(error instanceof ResolveError)) throw error;
    return error.message.replace(/^.* does not resolve: /, '');
  }
}

const RECORDS = [
  'a 20 A 10.0.0.2',
  'a 20 A 10.0.0.1',
  'three A 10.0.0.3',
  'six AAAA fd00::6',
  'both A 10.0.0.9',
  'both AAAA fd00::9',
  'alias 10 CNAME a',
  'alias-of-alias CNAME alias',
  'far CNAME far.other.example.',
  '!far A 10.9.9.9',
  '*.wild A 10.0.0.77',
  'svc 15 SRV 1 5 8080 a',
  'svc 15 SRV 1 0 9090 three',
  'svc 15 SRV 2 100 7070 six',
  'svc A 10.0.0.50',
  'nothing SRV 0 0 0 .',
  'nothing A 10.0.0.51',
  'broken SRV 0 1 80 missing',
  'text TXT "nothing else"',
  'circle CNAME circle2',
  'circle2 CNAME circle',
  'self SRV 0 1 80 self',
  'self A 10.0.0.60',
  'brief 0 A 10.0.0.80',
  'changing 30 A 10.0.0.70',
  ...Array.from({ length: 60 }, (_, i) => `many A 10.1.0.${i + 1}`),
];
