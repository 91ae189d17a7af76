import { describe, expect, it } from 'vitest';
import { HeaderList } from './headers.ts';
import { acceptanceProblem, isHandshake, restoreAgreement } from './websocket.ts';

const REQUEST = [
  ['Connection', 'keep-alive, Upgrade'],
  ['Upgrade', 'WebSocket'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
  ['Sec-WebSocket-Version', '13'],
] as const;

function fields(
  base: readonly (readonly [string, string])[],
  change: Readonly<Record<string, string | null>> = {},
): HeaderList {
  const list = new HeaderList();
  for (const [name, value] of base) {
    const changed = change[name];
    if (changed !== null) list.append(name, changed ?? value);
  }
  for (const [name, value] of Object.entries(change)) {
    if (value !== null && !base.some(([known]) => known === name)) list.append(name, value);
  }
  return list;
}

describe('a handshake', () => {
  it('is one whole request to switch to WebSocket', () => {
    expect(isHandshake('GET', '1.1', fields(REQUEST))).toBe(true);
  });

  it.each<[string, string, string, Record<string, string | null>]>([
    ['another method', 'POST', '1.1', {}],
    ['HTTP/1.0', 'GET', '1.0', {}],
    ['HTTP/2', 'GET', '2', {}],
    ['no Upgrade', 'GET', '1.1', { Upgrade: null }],
    ['more than one protocol', 'GET', '1.1', { Upgrade: 'websocket, h2c' }],
    ['a version of the protocol', 'GET', '1.1', { Upgrade: 'websocket/13' }],
    ['no Connection', 'GET', '1.1', { Connection: null }],
    ['Connection without upgrade', 'GET', '1.1', { Connection: 'keep-alive' }],
    ['no key', 'GET', '1.1', { 'Sec-WebSocket-Key': null }],
    ['a key of 15 bytes', 'GET', '1.1', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j' }],
    ['a key with bits to spare', 'GET', '1.1', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZR==' }],
    ['no version', 'GET', '1.1', { 'Sec-WebSocket-Version': null }],
    ['a list of versions', 'GET', '1.1', { 'Sec-WebSocket-Version': '13, 8' }],
    ['a length', 'GET', '1.1', { 'Content-Length': '0' }],
    ['a coding', 'GET', '1.1', { 'Transfer-Encoding': 'chunked' }],
    ['an expectation', 'GET', '1.1', { Expect: '100-continue' }],
  ])('does not come with %s', (_what, method, version, change) => {
    expect(isHandshake(method, version, fields(REQUEST, change))).toBe(false);
  });

  it.each(['Upgrade', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version'])('says %s once', (name) => {
    const headers = fields(REQUEST);
    headers.append(name, headers.get(name.toLowerCase()) ?? '');

    expect(isHandshake('GET', '1.1', headers)).toBe(false);
  });
});

const RESPONSE = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Accept', 'right'],
] as const;

describe('an acceptance', () => {
  it('may choose a protocol that was offered', () => {
    const request = fields(REQUEST, { 'Sec-WebSocket-Protocol': 'one, two' });
    const chosen = fields(RESPONSE, { 'Sec-WebSocket-Protocol': 'two' });
    const other = fields(RESPONSE, { 'Sec-WebSocket-Protocol': 'three' });

    expect(acceptanceProblem(request, chosen, 'right')).toBe(null);
    expect(acceptanceProblem(request, other, 'right')).toBe('a protocol that was not offered');
  });

  it.each<[string, Record<string, string | null>]>([
    ['upgrade field', { Upgrade: 'h2c' }],
    ['upgrade field', { Upgrade: null }],
    ['connection field', { Connection: 'close' }],
    ['sec-websocket-accept', { 'Sec-WebSocket-Accept': 'wrong' }],
    ['sec-websocket-accept', { 'Sec-WebSocket-Accept': null }],
    ['framed 101', { 'Content-Length': '0' }],
    ['framed 101', { 'Transfer-Encoding': 'chunked' }],
  ])('is none with its %s as %j', (problem, change) => {
    expect(acceptanceProblem(fields(REQUEST), fields(RESPONSE, change), 'right')).toBe(problem);
  });

  it('is put back as it was, whatever became of it since', () => {
    const agreed = fields([
      ['Sec-WebSocket-Accept', 'right'],
      ['Sec-WebSocket-Extensions', 'a'],
      ['Sec-WebSocket-Extensions', 'b'],
    ]);
    const changed = fields([
      ['Upgrade', 'h2c'],
      ['Sec-WebSocket-Accept', 'wrong'],
      ['Sec-WebSocket-Protocol', 'new'],
      ['Content-Length', '5'],
      ['X-Added', 'yes'],
    ]);

    restoreAgreement(changed, agreed);

    expect(changed.getAll('sec-websocket-accept')).toEqual(['right']);
    expect(changed.getAll('sec-websocket-extensions')).toEqual(['a', 'b']);
    expect(changed.get('upgrade')).toBe('websocket');
    expect(changed.get('connection')).toBe('upgrade');
    expect(changed.get('x-added')).toBe('yes');
    expect(changed.has('content-length') || changed.has('sec-websocket-protocol')).toBe(false);
  });
});
