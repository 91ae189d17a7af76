import { describe, expect, it } from 'vitest';
import { HeaderList } from './headers.ts';
import { entryHeaders, isReserved, stripHopByHop } from './hop-by-hop.ts';

function entering(...raw: string[]): readonly string[] {
  return entryHeaders(new HeaderList(raw)).raw;
}

/** Fields that the gateway or an authentication plugin sets. */
const IDENTITY = [
  'x-consumer-id',
  'x-consumer-custom-id',
  'x-consumer-username',
  'x-consumer-groups',
  'x-credential-identifier',
  'x-anonymous-consumer',
  'x-authenticated-scope',
  'x-authenticated-userid',
  'x-authenticated-groups',
];

describe('entryHeaders', () => {
  it('copies what is for the upstream, spelling and order kept', () => {
    const raw = ['Host', 'a', 'ACCEPT', '*/*', 'x-y', '1', 'X-Y', '2', 'Authorization', 'secret'];
    const received = new HeaderList(raw);

    expect(entryHeaders(received).raw).toEqual(raw);
    expect(entryHeaders(received)).not.toBe(received);
  });

  it.each([
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'Proxy-Authorization',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'Expect',
    'Proxy',
  ])('drops %s', (name) => {
    expect(entering('Host', 'a', name, 'x', name.toLowerCase(), 'y')).toEqual(['Host', 'a']);
  });

  it('drops what Connection names, in any case and in several fields', () => {
    expect(
      entering(
        'Connection',
        'close, X-Foo',
        'connection',
        ' x-BAR ',
        'x-foo',
        '1',
        'X-Bar',
        '2',
        'X-Baz',
        '3',
      ),
    ).toEqual(['X-Baz', '3']);
  });

  it.each([
    'Host',
    'Content-Length',
    'Content-Type',
    'Authorization',
    'Cookie',
    'Cache-Control',
    'Via',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Real-IP',
    'X-Kong-Request-Id',
    'Forwarded',
  ])('lets Connection not name %s away', (name) => {
    expect(entering('Connection', name, name, 'x')).toEqual([name, 'x']);
    expect(entering('connection', `close, ${name.toLowerCase()}`, name, 'x')).toEqual([name, 'x']);
  });

  it.each(IDENTITY)('drops a client’s %s in every spelling', (name) => {
    const spellings = [
      name,
      name.toUpperCase(),
      name.replaceAll('-', '_'),
      name.replaceAll('-', '.'),
      name.replace('-', '_').toUpperCase(),
      name.replace(/-(?=[^-]*$)/, '.'),
    ];
    for (const spelling of spellings) expect(entering(spelling, 'root'), spelling).toEqual([]);
  });

  it.each([
    'X_Real_IP',
    'x.forwarded.for',
    'X_FORWARDED_PROTO',
    'x-forwarded_host',
    'X-Kong_Request-Id',
    'Content_Length',
    'transfer.encoding',
    'User_Agent',
  ])('drops %s, which some servers fold into the real one', (name) => {
    expect(entering(name, 'x')).toEqual([]);
  });

  it.each(['x-consume', 'X-Customer-Id', 'my_header', 'a.b', 'X_Tenant', 'x-consumers'])(
    'keeps %s, which is nobody’s',
    (name) => {
      expect(entering(name, 'x')).toEqual([name, 'x']);
    },
  );

  it('looks at a bounded number of names in Connection', () => {
    const names = Array.from({ length: 100 }, (_, i) => `x-${i}`);
    const raw = ['Connection', names.join(','), 'x-63', 'gone', 'x-64', 'kept'];

    expect(entering(...raw)).toEqual(['x-64', 'kept']);
  });
});

describe('stripHopByHop', () => {
  it('cleans a response in place', () => {
    const headers = new HeaderList([
      'Connection',
      'X-Internal, Set-Cookie',
      'X-Internal',
      '1',
      'Set-Cookie',
      'a=b',
      'Transfer-Encoding',
      'chunked',
      'Keep-Alive',
      'timeout=5',
      'Upgrade',
      'h2c',
      'Date',
      'now',
    ]);

    stripHopByHop(headers);

    expect(headers.raw).toEqual(['Set-Cookie', 'a=b', 'Date', 'now']);
  });
});

describe('isReserved', () => {
  it('says no to ordinary names', () => {
    for (const name of ['host', 'accept', 'x-api-key', 'x-request-id', 'cookie']) {
      expect(isReserved(name)).toBe(false);
    }
  });
});
