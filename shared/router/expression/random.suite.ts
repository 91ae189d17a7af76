/** Random expressions and requests from one small world, so that they meet. */
import { HeaderList } from '../../http/headers.ts';
import type { RequestFacts } from '../facts.ts';
import type { Seeded } from '../seeded.suite.ts';

const HOSTS = ['a.test', 'b.test', 'x.a.test', 'a.example', 'A.test', 'localhost'];
const PATHS = ['/', '/a', '/a/b', '/a/b/c', '/ab', '/b/a', '/A/b', '/a/', '/c/d/e/f'];
const TEXTS = ['', 'a', 'b', 'A', 'ab', 'x y', '1'];
const IPS = ['10.0.0.1', '10.0.1.1', '192.168.0.9'];
const NETWORKS = ['10.0.0.0/8', '10.0.0.0/24', '0.0.0.0/0', '192.168.0.9/32'];
const PORTS = [80, 443, 8000];
const NAMES = ['x', 'x_y', 'k'];
const REGEXES = ['^/a', 'a', '^/a/[a-z]+$', '(?:b|c)', '^/(?:a|b)/', '[A-Z]', '^a[.]', 'test$'];

export function randomExpression(random: Seeded, depth: number): string {
  if (depth === 0 || random.chance(0.3)) return predicate(random);
  const terms = Array.from({ length: 1 + random.below(3) }, () => term(random, depth - 1));
  return terms
    .map((text, i) => (i === 0 ? text : `${random.pick([' && ', ' || '])}${text}`))
    .join('');
}

function term(random: Seeded, depth: number): string {
  const inner = randomExpression(random, depth);
  return random.pick([inner, `(${inner})`, `!(${inner})`]);
}

function predicate(random: Seeded): string {
  switch (random.below(7)) {
    case 0:
      return textPredicate(random, 'http.host', HOSTS);
    case 1:
    case 2:
      return textPredicate(random, 'http.path', PATHS);
    case 3:
      return textPredicate(random, `http.headers.${random.pick(NAMES)}`, TEXTS);
    case 4:
      return textPredicate(random, `http.queries.${random.pick(NAMES)}`, TEXTS);
    case 5: {
      if (random.chance(0.5))
        return textPredicate(random, random.pick(['net.protocol', 'http.method', 'tls.sni']), [
          'http',
          'https',
          'GET',
          'a.test',
          'a.test.',
        ]);
      const field = `http.path.segments.${random.pick(['0', '1', '0_1', '1_2', '0_2'])}`;
      return textPredicate(random, field, ['a', 'b', 'a/b', 'b/c', 'a/b/c']);
    }
    default:
      return number(random);
  }
}

function textPredicate(random: Seeded, field: string, values: readonly string[]): string {
  const name = random.pick([
    field,
    field,
    field,
    `any(${field})`,
    `lower(${field})`,
    `any(lower(${field}))`,
  ]);
  const operator = random.pick(['==', '==', '!=', '^=', '=^', 'contains', '~']);
  if (operator === '~') return `${name} ~ r#"${random.pick(REGEXES)}"#`;
  const value = random.pick(values);
  const isPart = operator !== '==' && operator !== '!=';
  return `${name} ${operator} "${isPart ? part(random, operator, value) : value}"`;
}

function part(random: Seeded, operator: string, value: string): string {
  const at = random.below(value.length + 1);
  return operator === '=^' ? value.slice(at) : value.slice(0, at);
}

function number(random: Seeded): string {
  const operator = random.pick(['==', '!=', '>', '>=', '<', '<=']);
  switch (random.below(4)) {
    case 0:
      return `net.dst.port ${operator} ${random.pick(PORTS)}`;
    case 1:
      return `http.path.segments.len ${operator} ${random.below(5)}`;
    case 2:
      return `net.src.ip ${random.pick(['==', '!='])} ${random.pick(IPS)}`;
    default:
      return `net.src.ip ${random.pick(['in', 'not in'])} ${random.pick(NETWORKS)}`;
  }
}

export function randomFacts(random: Seeded): RequestFacts {
  const fields = random
    .some(NAMES, 3)
    .flatMap((name) => [
      random.pick([name, name.replace('_', '-'), name.toUpperCase()]),
      random.pick(TEXTS),
    ]);
  const query = random.some(NAMES, 3).map((name) => {
    const value = encodeURIComponent(random.pick(TEXTS));
    return random.chance(0.1)
      ? name
      : `${name}=${random.chance(0.5) ? value.replaceAll('%20', '+') : value}`;
  });
  const port = random.chance(0.2) ? `:${random.pick(PORTS)}` : '';
  return {
    method: random.pick(['GET', 'POST']),
    host: random.chance(0.1) ? null : random.pick(HOSTS) + port,
    path: random.pick(PATHS),
    query: random.chance(0.3) ? null : query.join('&'),
    scheme: random.pick(['http', 'https']),
    headers: new HeaderList(fields),
    sni: random.pick([null, 'a.test', 'A.Test.', 'http']),
    sourceAddress: random.pick(IPS),
    sourcePort: 1,
    address: random.pick(IPS),
    port: random.pick(PORTS),
  };
}
