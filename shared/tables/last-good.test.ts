/** What protects and cannot be built goes on as it was, or closes its scope. It is never left out. */
import { describe, expect, it } from 'vitest';
import { TestConfig, testPlugin } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import type { JsonObject } from '../schema/field.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { Tables } from './tables.ts';

/** `/guarded` asks for the header `x-key` with the value that the plugin's configuration names. */
class Fixture {
  readonly config = new TestConfig();
  readonly route: AnyEntity;
  readonly other: AnyEntity;
  plugin: AnyEntity;
  tables: Tables | null = null;

  constructor(protects = true) {
    const guard = testPlugin('guard', {
      prepare: (given) => {
        const { key } = given as { key?: unknown };
        if (typeof key !== 'string') throw new Error('no key');
        return key;
      },
      access: (ctx, key) => {
        if (ctx.request.headers.get('x-key') === key) return undefined;
        return ctx.exit(401, { message: 'no' });
      },
    });
    this.config.provide({ ...guard, definition: { ...guard.definition, protects } });
    this.route = this.config.route({ name: 'guarded', paths: ['/guarded'] });
    this.other = this.config.route({ name: 'other', paths: ['/other'] });
    this.config.route({ paths: ['/'] });
    const made = this.config.plugin('guard', {}, { route: { id: this.route.id } });
    this.plugin = { ...made, config: { key: 'a' } };
    this.config.put('plugins', this.plugin);
  }

  put(change: JsonObject): Tables {
    this.plugin = { ...this.plugin, ...change };
    this.config.put('plugins', this.plugin);
    return this.build();
  }

  build(isNewProcess = false): Tables {
    this.tables = this.config.tables(isNewProcess ? null : this.tables);
    return this.tables;
  }

  async status(path: string, key: string | null): Promise<number> {
    const test = new TestGateway(this.tables);
    const answer = await test.get(path, key === null ? {} : { 'x-key': key });
    return answer.status;
  }
}

const BROKEN = { config: { key: 1 } };

describe('a protecting plugin whose new form cannot be built', () => {
  it('goes on in its last good form, by name', async () => {
    const fixture = new Fixture();
    fixture.build();
    const { quarantined } = fixture.put(BROKEN);
    expect(quarantined).toMatchObject([{ kind: 'plugins', id: fixture.plugin.id }]);
    expect(quarantined[0]?.reason).toBe('goes on in its last good form: guard: no key');
    expect(await fixture.status('/guarded', 'a')).toBe(200);
    expect(await fixture.status('/guarded', null)).toBe(401);
  });

  it('goes on through further forms that cannot be built, and through what others change', async () => {
    const fixture = new Fixture();
    fixture.build();
    fixture.put(BROKEN);
    fixture.config.route({ paths: ['/more'] });
    fixture.build();
    fixture.put({ config: { key: 2 } });
    expect(await fixture.status('/guarded', 'a')).toBe(200);
    expect(await fixture.status('/guarded', '2')).toBe(401);
    const mended = fixture.put({ config: { key: 'b' } });
    expect(mended.quarantined).toEqual([]);
    expect(await fixture.status('/guarded', 'a')).toBe(401);
    expect(await fixture.status('/guarded', 'b')).toBe(200);
  });

  it('closes its scope where it never was well', async () => {
    const fixture = new Fixture();
    const { quarantined } = fixture.put(BROKEN);
    expect(quarantined[0]?.reason).toBe('guard: no key');
    expect(await fixture.status('/guarded', 'a')).toBe(503);
    expect(await fixture.status('/other', null)).toBe(200);
  });

  it('closes its scope in a new process, which knows of no last good form', async () => {
    const fixture = new Fixture();
    fixture.build();
    fixture.put(BROKEN);
    fixture.build(true);
    expect(await fixture.status('/guarded', 'a')).toBe(503);
  });

  it('closes the scope that it moves to: it has no good form there', async () => {
    const fixture = new Fixture();
    fixture.build();
    fixture.put({ ...BROKEN, route: { id: fixture.other.id } });
    expect(await fixture.status('/other', 'a')).toBe(503);
  });

  it('is not brought back by a form that cannot be built once it was gone', async () => {
    const fixture = new Fixture();
    fixture.build();
    fixture.put({ enabled: false });
    expect(await fixture.status('/guarded', null)).toBe(200);
    fixture.put({ ...BROKEN, enabled: true });
    expect(await fixture.status('/guarded', 'a')).toBe(503);
  });
});

it('leaves out what protects nothing and cannot be built', async () => {
  const fixture = new Fixture(false);
  fixture.build();
  fixture.put(BROKEN);
  expect(await fixture.status('/guarded', null)).toBe(200);
});

it('refuses a version whose global plugin cannot be built, good form or not', () => {
  const fixture = new Fixture();
  fixture.put({ route: null });
  expect(() => fixture.put(BROKEN)).toThrow(/no key/);
});
