/** A bug, or a shape that nobody thought of, at any place of a build: what is served goes on. */
import { expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { ECHO_SERVICE, POISON_ROUTE, wellRecords } from '../../test/support/poisons.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { ConfigTree } from '../config/tree.ts';

/** Throws when the `at`-th property of anything in the records' bodies is looked at. */
class Failpoint {
  count = 0;
  readonly #at: number;

  constructor(at: number) {
    this.#at = at;
  }

  around<T extends object>(value: T): T {
    return new Proxy(value, {
      get: (target, name) => {
        if (typeof name === 'string') this.#pass(name);
        const found: unknown = Reflect.get(target, name);
        return typeof found === 'object' && found !== null ? this.around(found) : found;
      },
    });
  }

  #pass(name: string): void {
    this.count += 1;
    if (this.count === this.#at) throw new Error(`failpoint ${this.count}: ${name}`);
  }
}

/** The same configuration, whose every body goes through the failpoint. */
function tamper(tree: ConfigTree, failpoint: Failpoint): ConfigTree {
  const wrap = (record: ConfigRecord): ConfigRecord => ({
    ...record,
    hash: `other ${record.hash}`,
    body: failpoint.around(record.body),
  });
  return tree.apply([...tree.records()].map(wrap), []);
}

it('is refused or set aside, and never thrown, at each of the places', async () => {
  const config = new TestConfig();
  for (const [kind, input] of wellRecords('127.0.0.1', 9)) config.add(kind, input);
  const upstream = config.add('upstreams', { name: 'other.test' });
  config.add('targets', { target: '127.0.0.1:9', upstream: { id: upstream.id } });
  config.plugin('key-auth', {}, { route: { id: POISON_ROUTE } });
  config.plugin('rate-limiting', { minute: 5 }, { service: { id: ECHO_SERVICE } });
  config.plugin('correlation-id');
  config.consumer('a', 'key');
  const served = config.tables();
  const whole = new Failpoint(0);
  expect(config.build(served, {}, (tree) => tamper(tree, whole)).ok).toBe(true);
  expect(whole.count).toBeGreaterThan(100);
  const seen = { refused: 0, setAside: 0 };
  for (let at = 1; at <= whole.count; at += 1) {
    const failpoint = new Failpoint(at);
    const result = config.build(served, {}, (tree) => tamper(tree, failpoint));
    if (result.ok) {
      seen.setAside += 1;
      // Read and not understood: it is named.
      expect([at, result.quarantined.length > 0]).toEqual([at, true]);
    } else seen.refused += 1;
    // Neither takes anything of what is served.
    const test = new TestGateway(served);
    expect((await test.get('/healthy')).status).toBe(200);
    expect((await test.get('/near')).status).toBe(401);
  }
  console.log(`${whole.count} failpoints: ${JSON.stringify(seen)}`);
});
