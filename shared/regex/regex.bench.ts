/** What compiling and matching cost. Run: node shared/regex/regex.bench.ts */
import { compileHeaderRegex, compileRouteRegex } from './regex.ts';
import type { CompiledRegex } from './regex.ts';

const HIT = '/users/123456/orders/abcdef-1234';
const MISS = '/users/123456/invoices/abcdef-1234';
const PATTERNS: readonly (readonly [string, (source: string) => CompiledRegex])[] = [
  [String.raw`/users/\d+/orders/(?<id>[^/]+)$`, compileRouteRegex],
  [String.raw`/users/\w+/orders/[\w.-]+`, compileRouteRegex],
  ['/users/.*/orders/', compileRouteRegex],
  ['/.*/orders/.*4', compileRouteRegex],
  [String.raw`/(?:\w+/)+orders\b`, compileRouteRegex],
  ['orders', compileHeaderRegex],
  [String.raw`orders/\w+`, compileHeaderRegex],
];
const ROUNDS = 200_000;
const COMPILED = 500;

for (const [source, compile] of PATTERNS) {
  const compileUs = timed(COMPILED, (i) => compile(`x${i}${source}`)) / 1e3;
  const compiled = compile(source);
  if (!compiled.ok) throw new Error(compiled.reason);
  const { regex } = compiled;
  const columns = [
    source.padEnd(36),
    regex.constructor.name.padEnd(12),
    `compile ${compileUs.toFixed(0).padStart(4)} us`,
    `test ${timed(ROUNDS, () => regex.test(HIT))
      .toFixed(0)
      .padStart(5)} ns`,
    `miss ${timed(ROUNDS, () => regex.test(MISS))
      .toFixed(0)
      .padStart(5)} ns`,
    `groups ${timed(ROUNDS, () => regex.search(HIT))
      .toFixed(0)
      .padStart(5)} ns`,
  ];
  console.log(columns.join('  '));
}

/** Nanoseconds a round, after as many to warm up. */
function timed(rounds: number, run: (round: number) => unknown): number {
  let startedAt = 0;
  for (let round = 0; round < 2 * rounds; round += 1) {
    if (round === rounds) startedAt = performance.now();
    run(round);
  }
  return ((performance.now() - startedAt) * 1e6) / rounds;
}
