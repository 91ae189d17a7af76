import { describe, expect, it } from 'vitest';
import { isPromise } from '#shared/base/maybe-promise.ts';
import { ResolveError } from '#shared/platform/platform.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { rigFor, shown } from './dns.suite.ts';
import { parseHosts } from './hosts-file.ts';
import type { Outcome, Question } from './message.ts';
import { RecordCache } from './record-cache.ts';
import { parseResolvConf } from './resolv-conf.ts';
import { candidates } from './resolver.ts';

const NOWHERE = [{ address: '127.0.0.1', port: 1 }] as const;

describe('the resolver, without asking', () => {
  it.each([
    ['10.0.0.1', {}, '', ['10.0.0.1']],
    ['fd00::1', {}, '', ['fd00::1']],
    ['[fd00::1]', {}, '', ['fd00::1']],
    ['localhost', {}, '', ['127.0.0.1']],
    ['localhost', { HEADGATE_DNS_ORDER: 'AAAA,A' }, '', ['::1']],
    ['LOCALHOST.', {}, '127.0.0.9 localhost', ['127.0.0.9']],
    ['db', {}, 'fd00::5 db\n10.0.0.5 db database # ours\n10.0.0.6 db', ['10.0.0.5']],
    ['database', { HEADGATE_DNS_ORDER: 'AAAA' }, '10.0.0.5 db database', ['10.0.0.5']],
  ])('answers %s at once (%o, %s)', async (name, env, hosts, addresses) => {
    const answer = rigFor(NOWHERE, env, [], hosts).resolver.resolve(name, true);
    expect(isPromise(answer)).toBe(false);
    expect(shown(await answer)).toEqual(addresses);
    expect((await answer).expiresAt).toBe(Number.POSITIVE_INFINITY);
  });

  it.each([
    '',
    'a..b',
    'a b',
    `${'x'.repeat(64)}.test`,
    `${'a.'.repeat(127)}a`,
    'é.test',
    '10.0.0.1:53',
  ])('refuses %j, which is no name', (name) => {
    expect(() => rigFor(NOWHERE).resolver.resolve(name, true)).toThrow(ResolveError);
  });
});

describe('resolv.conf', () => {
  it('is read as every resolver reads it', () => {
    const text = [
      '# comment',
      'nameserver 10.0.0.53',
      'nameserver fd00::53 ; second',
      'nameserver fe80::1%eth0',
      'domain ignored.test',
      'search One.test two.test.',
      'options ndots:5 timeout:3 attempts:4 rotate edns0',
      'sortlist 10.0.0.0',
    ].join('\n');
    expect(parseResolvConf(text)).toEqual({
      servers: [
        { address: '10.0.0.53', port: 53 },
        { address: 'fd00::53', port: 53 },
      ],
      search: ['one.test', 'two.test'],
      ndots: 5,
      timeoutMs: 3000,
      attempts: 4,
      rotates: true,
    });
  });

  it.each([
    ['', { servers: [], search: [], ndots: 1, timeoutMs: 2000, attempts: 5, rotates: false }],
    ['options ndots:99 timeout:99 attempts:99', { ndots: 15, timeoutMs: 30_000, attempts: 5 }],
    ['options timeout:0 attempts:0 ndots:0', { ndots: 0, timeoutMs: 2000, attempts: 5 }],
    ['domain own.test', { search: ['own.test'] }],
    ['search .', { search: [] }],
  ])('has bounds and defaults: %j', (text, expected) => {
    expect(parseResolvConf(text)).toMatchObject(expected);
  });

  it('says in which order names are tried', () => {
    const search = ['one', 'two'];
    expect(candidates('a', search, 1)).toEqual(['a.one', 'a.two', 'a']);
    expect(candidates('a.b', search, 1)).toEqual(['a.b', 'a.b.one', 'a.b.two']);
    expect(candidates('a.b', search, 2)).toEqual(['a.b.one', 'a.b.two', 'a.b']);
    expect(candidates('a.', search, 5)).toEqual(['a']);
    expect(candidates(`${'a.'.repeat(125)}b`, search, 1)).toEqual([`${'a.'.repeat(125)}b`]);
  });
});

describe('a hosts file', () => {
  it('names what it can, and localhost', () => {
    const hosts = parseHosts(
      '10.0.0.1\tOne  two\nnonsense three\n[::1] four\n\n# 10.0.0.2 five\n::ffff:10.0.0.3 six',
    );
    expect([...hosts]).toEqual([
      ['one', { v4: '10.0.0.1', v6: null }],
      ['two', { v4: '10.0.0.1', v6: null }],
      ['six', { v4: null, v6: '::ffff:10.0.0.3' }],
      ['localhost', { v4: '127.0.0.1', v6: '::1' }],
    ]);
  });
});

describe('the record cache', () => {
  const lives = { valid: null, stale: 0, notFound: 30, error: 1 };
  const question = (name: string): Question => ({ name, type: 'A' });

  class Rig {
    readonly clock = new FakeClock();
    readonly asked: string[] = [];
    outcome: Outcome = { tag: 'addresses', addresses: ['10.0.0.1'], ttlSeconds: 10 };
    readonly cache = new RecordCache(
      (asked) => {
        this.asked.push(asked.name);
        return Promise.resolve(this.outcome);
      },
      this.clock,
      lives,
      3,
    );
  }

  it('asks once for all who want to know at the same time', async () => {
    const rig = new Rig();
    await Promise.all([1, 2, 3].map(() => rig.cache.get(question('a'))));
    await rig.cache.get(question('a'));
    expect(rig.asked).toEqual(['a']);
  });

  it.each<[Outcome, number]>([
    [{ tag: 'addresses', addresses: ['10.0.0.1'], ttlSeconds: 10 }, 10],
    [{ tag: 'addresses', addresses: ['10.0.0.1'], ttlSeconds: 0 }, 1],
    [{ tag: 'addresses', addresses: ['10.0.0.1'], ttlSeconds: 4_000_000_000 }, 604_800],
    [{ tag: 'no_name' }, 30],
    [{ tag: 'no_data' }, 30],
    [{ tag: 'refused', reason: 'SERVFAIL' }, 1],
  ])('keeps %o for %i s', async (outcome, seconds) => {
    const rig = new Rig();
    rig.outcome = outcome;
    await rig.cache.get(question('a'));
    await rig.clock.advance(seconds * 1000 - 1);
    await rig.cache.get(question('a'));
    expect(rig.asked).toHaveLength(1);
    await rig.clock.advance(1);
    await rig.cache.get(question('a'));
    expect(rig.asked).toHaveLength(2);
  });

  it('keeps no more than it may, those used last', async () => {
    const rig = new Rig();
    for (const name of ['a', 'b', 'c', 'a', 'd']) await rig.cache.get(question(name));
    expect(rig.cache.size).toBe(3);
    await rig.cache.get(question('a'));
    expect(rig.asked).toEqual(['a', 'b', 'c', 'd']);
    await rig.cache.get(question('b'));
    expect(rig.asked).toEqual(['a', 'b', 'c', 'd', 'b']);
  });
});
