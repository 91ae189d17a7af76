import { describe, expect, it } from 'vitest';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import { showStreamRule, streamFacts } from './rules.suite.ts';
import type { StreamRuleCase } from './rules.suite.ts';

/** Sources: "5.2" is kong-contract 5.2; "spec" is Kong's spec/01-unit/08-router_spec.lua, "#stream context". */

const ip = (text: string) => [{ ip: text, port: null }];
const port = (number: number) => [{ ip: null, port: number }];
const both = (text: string, number: number) => [{ ip: text, port: number }];

const CONDITIONS: readonly StreamRuleCase[] = [
  {
    rule: 'a source is an address, a network, a port, or both',
    source: '5.2; transform.lua gen_for_nets; spec: [src_ip] + [src_port], [src_ip] range match',
    routes: {
      address: { sources: ip('192.0.2.1') },
      network: { sources: ip('192.0.2.77/24') },
      port: { sources: port(50_000) },
      both: { sources: both('192.0.2.1', 50_000) },
      'other address': { sources: ip('192.0.2.3') },
      'other network': { sources: ip('192.0.3.0/24') },
      'other port': { sources: both('192.0.2.1', 50_001) },
    },
    request: {},
    order: ['both', 'address', 'port', 'network'],
  },
  {
    rule: 'a destination likewise, in IPv6 too',
    source: '5.2; transform.lua gen_for_nets; spec: [dst_ip] + [dst_port]',
    routes: {
      address: { destinations: ip('2001:db8::0:1') },
      network: { destinations: ip('2001:db8::/32') },
      port: { destinations: port(9000) },
      'other port': { destinations: port(900) },
      'other network': { destinations: ip('0.0.0.0/0') },
    },
    request: { address: '2001:db8::1' },
    order: ['address', 'port', 'network'],
  },
  {
    rule: 'one of several suffices',
    source: 'transform.lua gen_for_nets (LOGICAL_OR)',
    routes: { one: { destinations: [...port(1), ...both('192.0.2.2', 9000), ...port(2)] } },
    request: {},
    order: ['one'],
  },
  {
    rule: 'SNIs match whole or by a wildcard, a dot at the end does not count',
    source: '5.2; transform.lua sni_val_transform',
    routes: {
      whole: { snis: ['a.sni.com.'] },
      suffix: { snis: ['*.sni.com'] },
      prefix: { snis: ['a.sni.*'] },
      other: { snis: ['sni.com'] },
    },
    request: { protocol: 'tls', sni: 'a.sni.com' },
    order: ['prefix', 'suffix', 'whole'],
  },
  {
    rule: 'where a connection names no server, SNIs do not count',
    source: '5.2; transform.lua get_expression (net.protocol != tls); atc.lua exec (scheme)',
    routes: { sni: { snis: ['sni.com'], destinations: port(9000) } },
    request: { protocol: 'tcp' },
    order: ['sni'],
  },
  {
    rule: 'TLS passed through is matched by the name that it shows',
    source:
      'fields.lua tls.sni (ssl_preread_server_name); spec: [#stream SNI-based routing does work using tls_passthrough]',
    routes: {
      here: { protocols: ['tls_passthrough'], snis: ['sni.com'] },
      elsewhere: { protocols: ['tls_passthrough'], snis: ['other.com'] },
    },
    request: { protocol: 'tls_passthrough', sni: 'SNI.com' },
    order: ['here'],
  },
  {
    rule: 'what is in the clear is for routes that take it so',
    source: 'ours: Kong would carry it to the upstream of a route for TLS alone (5.2)',
    routes: {
      tls: { protocols: ['tls'], snis: ['sni.com'], destinations: port(9000) },
      udp: { protocols: ['udp'], destinations: port(9000) },
      tcp: { protocols: ['tcp'], destinations: port(9000) },
    },
    request: { protocol: 'tcp', sni: null },
    order: ['tcp'],
  },
];

const RANKS: readonly StreamRuleCase[] = [
  {
    rule: 'an SNI comes before a source or a destination alone',
    source: '5.2; spec: [sni] has higher priority than [src] or [dst]',
    routes: {
      sni: { snis: ['sni.com'] },
      source: { sources: both('192.0.2.1', 50_000) },
      destination: { destinations: both('192.0.2.2', 9000) },
    },
    request: { protocol: 'tls', sni: 'sni.com' },
    order: ['sni', 'source', 'destination'],
  },
  {
    rule: 'source and destination together come before an SNI',
    source: '5.2; spec: [src] + [dst] has higher priority than [sni]',
    routes: {
      sides: { sources: ip('192.0.2.1'), destinations: ip('192.0.2.2') },
      sni: { snis: ['sni.com'] },
    },
    request: { protocol: 'tls', sni: 'sni.com' },
    order: ['sides', 'sni'],
  },
  {
    rule: 'an SNI with a side ranks by that side',
    source: 'transform.lua stream_get_priority',
    routes: {
      network: { snis: ['sni.com'], sources: ip('192.0.2.0/24') },
      address: { snis: ['sni.com'], sources: ip('192.0.2.1') },
      destination: { snis: ['sni.com'], destinations: both('192.0.2.2', 9000) },
    },
    request: { protocol: 'tls', sni: 'sni.com' },
    order: ['address', 'network', 'destination'],
  },
  {
    rule: 'bits: address 8, port 4, network 1; of the source before the destination',
    source: '5.2; transform.lua stream_get_priority (calc_ip_weight)',
    routes: {
      'destination address': { destinations: ip('192.0.2.2') },
      'destination port': { destinations: port(9000) },
      'destination network': { destinations: ip('192.0.2.0/24') },
      'source network': { sources: ip('192.0.2.0/24') },
      'source port': { sources: port(50_000) },
      'source address': { sources: ip('192.0.2.1') },
      'source address and network': { sources: [...ip('192.0.2.1'), ...ip('10.0.0.0/8')] },
    },
    request: {},
    order: [
      'source address and network',
      'source address',
      'source port',
      'source network',
      'destination address',
      'destination port',
      'destination network',
    ],
  },
  {
    rule: 'ties go to the larger id',
    source: '5.2; router.rs MatcherKey',
    routes: { smaller: { destinations: port(9000) }, larger: { destinations: port(9000) } },
    request: {},
    order: ['larger', 'smaller'],
  },
];

const TRADITIONAL: readonly StreamRuleCase[] = [
  {
    rule: 'more kinds come first, then SNI, source, destination',
    source: 'traditional.lua sort_categories',
    routes: {
      destination: { destinations: both('192.0.2.2', 9000) },
      source: { sources: ip('192.0.2.0/24') },
      sni: { snis: ['sni.com'] },
      'two sides': { sources: ip('192.0.2.1'), destinations: ip('192.0.2.2') },
      'sni and destination': { snis: ['sni.com'], destinations: port(9000) },
    },
    request: { protocol: 'tls', sni: 'sni.com' },
    order: ['sni and destination', 'two sides', 'sni', 'source', 'destination'],
  },
  {
    rule: 'an address with its port comes before either alone, then the older route',
    source: 'traditional.lua sort_sources, sort_routes',
    routes: {
      young: { sources: ip('192.0.2.1'), created_at: 2 },
      old: { sources: port(50_000), created_at: 1 },
      both: { sources: both('192.0.2.1', 50_000), created_at: 3 },
    },
    request: {},
    order: ['both', 'old', 'young'],
  },
  {
    rule: 'a route by SNI needs one, and knows no wildcards',
    source: 'traditional.lua matchers SNI (http alone is let off)',
    routes: { plain: { snis: ['a.sni.com'] }, wildcard: { snis: ['*.sni.com'] } },
    request: { protocol: 'tls', sni: 'a.sni.com' },
    order: ['plain'],
  },
  {
    rule: 'without SNI it does not match',
    source: 'traditional.lua matchers SNI',
    routes: { sni: { snis: ['sni.com'], destinations: port(9000) } },
    request: { protocol: 'tcp' },
    order: [],
  },
];

const EXPRESSIONS: readonly StreamRuleCase[] = [
  {
    rule: 'an expression comes before any lists',
    source: '5.2; transform.lua EXPRESSION_ONLY_BIT',
    routes: {
      lists: { sources: both('192.0.2.1', 50_000), destinations: both('192.0.2.2', 9000) },
      0: { expression: 'net.dst.port == 9000', priority: 0 },
      1: { expression: 'net.src.ip in 192.0.2.0/24', priority: 1 },
      other: { expression: 'net.dst.port == 9001', priority: 2 },
    },
    request: {},
    order: ['1', '0', 'lists'],
  },
  {
    rule: 'protocols are matched; a name makes it TLS',
    source: '5.2; expressions.lua get_expression; atc.lua exec (scheme)',
    routes: {
      tcp: { protocols: ['tcp'], destinations: port(9000) },
      udp: { protocols: ['udp'], destinations: port(9000) },
      'tls or udp': { protocols: ['tls', 'udp'], destinations: port(9000) },
      expression: { protocols: ['tcp'], expression: 'net.dst.port == 9000' },
    },
    request: { protocol: 'tls', sni: 'sni.com' },
    order: ['tls or udp'],
  },
  {
    rule: 'a route for TLS alone, or TLS passed through, also takes what names no server',
    source: '5.2; expressions.lua get_expression (tcp works with tls)',
    routes: {
      tls: { protocols: ['tls'], destinations: port(9000) },
      passthrough: { protocols: ['tls_passthrough'], snis: ['sni.com'], destinations: port(9000) },
      tcp: { protocols: ['tcp'], destinations: port(9000) },
      udp: { protocols: ['udp'], destinations: port(9000) },
    },
    request: { protocol: 'tls', sni: null },
    order: ['passthrough', 'tcp', 'tls'],
  },
  {
    rule: 'an expression may ask for the name',
    source: '5.2; fields.lua STREAM_FIELDS; spec: exec() should match tls with tls.sni',
    routes: {
      here: { protocols: ['tls'], expression: 'tls.sni == "sni.com"' },
      elsewhere: { protocols: ['tls'], expression: 'tls.sni == "other.com"' },
    },
    request: { protocol: 'tls', sni: 'sni.com' },
    order: ['here'],
  },
];

describe('a rule for streams', () => {
  it.each([...CONDITIONS, ...RANKS])('of traditional_compatible: $rule ($source)', (rule) => {
    showStreamRule(rule, 'traditional_compatible');
  });

  it.each(TRADITIONAL)('of traditional: $rule ($source)', (rule) => {
    showStreamRule(rule, 'traditional');
  });

  it.each(EXPRESSIONS)('of expressions: $rule ($source)', (rule) => {
    showStreamRule(rule, 'expressions');
  });

  it('closes what cannot be read, by the name or port that tells its connections apart', () => {
    const broken = { protocols: ['tcp' as const], sources: ip('10.0.0.0/99') };
    const named = routeEntry({ ...broken, snis: ['sni.com'] });
    const ported = routeEntry({ ...broken, destinations: port(9000) });
    const lost = routeEntry(broken);
    const { router, failures } = buildRouter([named, ported, lost]);

    expect(failures.map(({ entry, isCovered }) => [entry, isCovered])).toEqual([
      [named, true],
      [ported, true],
      [lost, false],
    ]);
    const taken = (number: number, sni: string) =>
      router.matchStream(streamFacts({ protocol: 'tls', port: number, sni }));
    expect(taken(1, 'sni.com')).toBe(named);
    expect(taken(9000, 'other.com')).toBe(ported);
    expect(taken(1, 'other.com')).toBeNull();
  });
});
