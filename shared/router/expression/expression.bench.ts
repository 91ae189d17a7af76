/** What expressions cost. Run: node shared/router/expression/expression.bench.ts */
import { HeaderList } from '../../http/headers.ts';
import type { RequestFacts } from '../facts.ts';
import { compileExpression } from './compile.ts';
import { ExpressionInput } from './input.ts';

const FACTS: RequestFacts = {
  method: 'GET',
  host: 'api.example.com',
  path: '/v1/users/42/orders',
  query: 'page=2&sort=name&filter=a%20b',
  scheme: 'https',
  headers: new HeaderList(['host', 'api.example.com', 'accept', '*/*', 'x-version', '2']),
  sni: 'api.example.com',
  sourceAddress: '10.1.2.3',
  sourcePort: 40_000,
  address: '10.0.0.1',
  port: 8443,
};

const EXPRESSIONS = [
  'http.host == "api.example.com" && http.path ^= "/v1/users"',
  'http.method == "GET" && (http.path == "/v1" || http.path ^= "/v1/users/")',
  String.raw`http.path ~ r#"^/v1/users/(?<id>\d+)/orders$"#`,
  'http.path.segments.1 == "users" && http.path.segments.len > 2',
  'any(lower(http.headers.x_version)) == "2" && net.src.ip in 10.0.0.0/8',
  'http.queries.sort == "name" && any(http.queries.filter) == "a b"',
];
const ROUNDS = 500_000;
const COMPILED = 2000;

const input = new ExpressionInput();
for (const source of EXPRESSIONS) {
  const compiled = compileExpression(source, 'http');
  if (!compiled.ok) throw new Error(compiled.reason);
  const { expression } = compiled;
  const compileUs = timed(COMPILED, () => compileExpression(source, 'http')) / 1e3;
  // As for each request: nothing that was worked out for the last one is kept.
  const matchNs = timed(ROUNDS, () => {
    input.setRequest(FACTS);
    return expression.matches(input);
  });
  const leftNs = timed(ROUNDS, () => expression.matchOf(input));
  console.log(
    `${source.padEnd(76)} compile ${compileUs.toFixed(0).padStart(3)} us  ` +
      `match ${matchNs.toFixed(0).padStart(4)} ns  what it leaves ${leftNs.toFixed(0).padStart(4)} ns`,
  );
}

/** Nanoseconds a round, after as many to warm up. */
function timed(rounds: number, run: () => unknown): number {
  for (let round = 0; round < rounds; round += 1) run();
  const startedAt = performance.now();
  for (let round = 0; round < rounds; round += 1) run();
  return ((performance.now() - startedAt) * 1e6) / rounds;
}
