import { describe, expect, it } from 'vitest';
import { deckFile } from './deck-file.ts';

const id = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;

describe('a state file of decK', () => {
  it('holds children in their parents, and no nulls but in configurations', () => {
    const { content, left } = deckFile(
      {
        _format_version: '3.0',
        services: [{ id: id(1), name: 's', path: null, client_certificate: { id: id(8) } }],
        routes: [
          { id: id(2), name: 'r', service: { id: id(1) }, updated_at: 1 },
          { id: id(3), name: 'free', service: null },
        ],
        plugins: [
          { id: id(4), name: 'a', route: { id: id(2) }, service: null, config: { x: null } },
          { id: id(5), name: 'b', route: { id: id(2) }, service: { id: id(1) }, config: {} },
        ],
        consumers: [{ id: id(6), username: 'c' }],
        acls: [{ id: id(7), group: 'g', consumer: { id: id(6) } }],
        upstreams: [{ id: id(9), healthchecks: { active: { headers: null, timeout: 1 } } }],
        certificates: [{ id: id(8), cert: 'x', cert_alt: 'y', snis: ['a.test'] }],
        snis: [{ name: 'a.test', certificate: { id: id(8) } }],
        oauth2_tokens: [{ id: id(0) }],
      },
      'team',
    );
    expect(content).toEqual({
      _format_version: '3.0',
      _info: { defaults: {} },
      _workspace: 'team',
      services: [
        {
          id: id(1),
          name: 's',
          client_certificate: id(8),
          routes: [
            { id: id(2), name: 'r', plugins: [{ id: id(4), name: 'a', config: { x: null } }] },
          ],
        },
      ],
      routes: [{ id: id(3), name: 'free' }],
      consumers: [{ id: id(6), username: 'c', acls: [{ id: id(7), group: 'g' }] }],
      plugins: [{ id: id(5), name: 'b', route: id(2), service: id(1), config: {} }],
      upstreams: [{ id: id(9), healthchecks: { active: { timeout: 1 } } }],
      certificates: [{ id: id(8), cert: 'x', snis: [{ name: 'a.test' }] }],
    });
    expect(left).toEqual([`cert_alt of certificates ${id(8)}`, '1 oauth2_tokens']);
  });

  it('names no workspace for the default one', () => {
    expect(deckFile({}, null).content).not.toHaveProperty('_workspace');
    expect(deckFile({}, 'default').content).not.toHaveProperty('_workspace');
  });
});
