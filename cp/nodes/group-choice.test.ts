import { describe, expect, it } from 'vitest';
import { mostSpecific } from './group-choice.ts';

const group = (name: string, labels: Record<string, string>) => ({
  id: `id of ${name}`,
  name,
  labels,
});
const EU = group('eu', { region: 'eu' });
const EU_EDGE = group('eu-edge', { region: 'eu', tier: 'edge' });
const US = group('us', { region: 'us' });
const EDGE = group('edge', { tier: 'edge' });

describe('the group that labels choose', () => {
  it.each([
    [{ region: 'eu' }, 'id of eu'],
    [{ region: 'eu', tier: 'edge', more: 'x' }, 'id of eu-edge'],
    [{ region: 'us', tier: 'core' }, 'id of us'],
  ])('is the most specific one for %j', (labels, groupId) => {
    expect(mostSpecific([EU, EU_EDGE, US], labels)).toEqual({ ok: true, groupId });
  });

  it('is none when the labels are nobody’s, or those of two', () => {
    expect(mostSpecific([EU, US], { region: 'asia' })).toEqual({
      ok: false,
      detail: 'no group is for a node with the labels region:asia',
    });
    expect(mostSpecific([], {})).toEqual({
      ok: false,
      detail: 'no group is for a node with no labels',
    });
    expect(mostSpecific([EU, EDGE], { region: 'eu', tier: 'edge' })).toEqual({
      ok: false,
      detail:
        "the groups 'eu' and 'edge' are equally for a node with the labels region:eu, tier:edge",
    });
  });

  it('takes no name of JavaScript’s for a label', () => {
    expect(mostSpecific([group('x', { constructor: 'a' })], {}).ok).toBe(false);
  });
});
