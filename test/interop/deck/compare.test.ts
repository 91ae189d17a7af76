import { describe, expect, it } from 'vitest';
import { differences } from './compare.ts';

describe('a dump beside what was synced', () => {
  const given = {
    services: [{ name: 'a', port: 1, routes: [{ name: 'r', paths: ['/b', '/a'] }] }],
  };

  it('is the same with defaults besides, lists in another order, and PEM without its last line end', () => {
    const dumped = {
      services: [{ name: 'a', port: 1, retries: 5, routes: [{ name: 'r', paths: ['/a', '/b'] }] }],
    };
    expect(differences(given, dumped)).toEqual([]);
    expect(differences({ cert: 'PEM\n' }, { cert: 'PEM' })).toEqual([]);
  });

  it.each([
    [{ services: [] }, 'services["a"]: missing'],
    [{}, 'services: missing'],
    [
      { services: [{ name: 'a', port: 2, routes: [{ name: 'r', paths: ['/b', '/a'] }] }] },
      'port: 2 instead of 1',
    ],
    [
      { services: [{ name: 'a', port: 1, routes: [{ name: 'r', paths: ['/b'] }] }] },
      'instead of ["/a","/b"]',
    ],
    [{ services: [{ name: 'a', port: 1 }] }, 'routes: missing'],
  ])('differs where something is missing or else: %j', (dumped, message) => {
    expect(differences(given, dumped).join()).toContain(message);
  });

  it('differs where an entity is besides', () => {
    expect(
      differences({ acls: [{ group: 'a' }] }, { acls: [{ group: 'a' }, { group: 'b' }] }),
    ).toEqual(['acls: has {"group":"b"} besides']);
  });

  it('reads an IPv6 target in any spelling', () => {
    const targets = (target: string) => ({ targets: [{ target }] });
    const short = targets('[2001:db8::1]:80');
    const long = targets('[2001:0db8:0000:0000:0000:0000:0000:0001]:80');
    expect(differences(short, long)).toEqual([]);
    expect(differences(short, targets('[2001:db8::2]:80'))).not.toEqual([]);
  });
});
