import { describe, expect, it } from 'vitest';
import { SEED, Seeded } from '../router/seeded.suite.ts';
import { parseRegex } from './parse.ts';
import { countSteps, randomText, randomTree } from './random-tree.suite.ts';
import { safetyOf, STEPS_MAX } from './safety.ts';

function safety(source: string): string {
  const { atStart, anywhere } = safetyOf(parseRegex(source, 'rust', false).root, true);
  return `${atStart ? 'start' : '-'} ${anywhere ? 'anywhere' : '-'}`;
}

describe('what is shown to be linear', () => {
  it.each([
    ['/users/[0-9]+/orders/(?<id>[^/]+)$', 'start anywhere'],
    [String.raw`/users/\d+/orders/(?<id>\w+)`, 'start anywhere'],
    ['/api/v[12]/.*', 'start anywhere'],
    ['/(?:en|de|fr)/', 'start anywhere'],
    ['(?:/[a-z]+)*', 'start anywhere'],
    ['/files/.*/download', 'start -'],
    ['/files/.*[.](?:jpe?g|png)$', 'start -'],
    ['[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{12}', 'start anywhere'],
    ['[a-z0-9-]{1,63}[.]com', 'start -'],
    ['a?a?a?b', 'start anywhere'],
    // Quadratic wherever they begin.
    ['.*a.*b', '- -'],
    ['[a-z]*[a-y]*$', '- -'],
    ['a*a*a*b', '- -'],
    ['[a-z]+/[a-z]+/x', 'start -'],
    // Quadratic when searched for.
    ['x*y', 'start -'],
    ['[0-9]+/', 'start -'],
    ['[^/]+$', 'start -'],
    ['[0-9]+', 'start anywhere'],
    ['x*', 'start anywhere'],
    // Exponential.
    ['(?:a+)+$', '- -'],
    ['(?:a|a)*$', '- -'],
    ['(?:a|ab|b)*c', '- -'],
    ['(?:a?){9}a{9}', '- -'],
    ['(?:|a|b)*c', '- -'],
    ['a(?:|)(?:|)(?:|)(?:|)(?:|)$', 'start anywhere'],
    ['a(?:|)(?:|)(?:|)(?:|)(?:|)(?:|)(?:|)(?:|)$', '- -'],
    // Too large to say.
    ['a{300}', '- -'],
    ['(?:[a-z]{1,16}[.]){1,16}', '- -'],
  ])('%s: %s', (source, expected) => {
    expect(safety(source)).toBe(expected);
  });

  it('is so of random patterns, by counting', () => {
    const random = new Seeded(SEED);
    let shown = 0;
    for (let i = 0; i < 6000; i += 1) {
      const tree = randomTree(random, 4, { looks: true, groups: false });
      const { atStart, anywhere } = safetyOf(tree, true);
      if (!atStart) continue;
      shown += 1;
      const text = randomText(random, 200);
      const said = `seed ${SEED}, pattern ${i}: ${JSON.stringify(tree)} on ${JSON.stringify(text)}`;
      const most = STEPS_MAX * (text.length + 1);
      expect(countSteps(tree, text, false), said).toBeLessThanOrEqual(most);
      // A search: the failing beginnings, and the one that succeeds.
      if (anywhere) expect(countSteps(tree, text, true), said).toBeLessThanOrEqual(2 * most);
    }
    expect(shown).toBeGreaterThan(1500);
  });
});
