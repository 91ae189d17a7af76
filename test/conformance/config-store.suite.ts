/** What every implementation of the ConfigStore port must do. */
import { describe, expect, it } from 'vitest';
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import { storedConfig } from './stored-config.ts';

export interface ConfigStoreHarness {
  readonly store: ConfigStore;
  /** Another store on the same ground, as after a restart. */
  reopen(): ConfigStore | Promise<ConfigStore>;
}

/** A store may hold more tree nodes than those of one configuration. */
function expectSame(loaded: StoredConfig | null, { nodes, ...signed }: StoredConfig): void {
  expect(loaded).toMatchObject(signed);
  expect([...nodes].filter(([id, text]) => loaded?.nodes.get(id) !== text)).toEqual([]);
}

/** `make` is called once per test and answers an empty store. */
export function configStoreSuite(
  name: string,
  make: () => ConfigStoreHarness | Promise<ConfigStoreHarness>,
): void {
  describe(`config store port: ${name}`, () => {
    it('answers null when nothing was saved', async () => {
      const { store } = await make();

      expect(await store.load()).toBeNull();
    });

    it('gives back what was saved, to the letter', async () => {
      const { store } = await make();
      const config = storedConfig('one', 3);
      await store.save(config);

      expectSame(await store.load(), config);
    });

    it('gives it back after a restart', async () => {
      const { store, reopen } = await make();
      const config = storedConfig('one', 300);
      await store.save(config);

      expectSame(await (await reopen()).load(), config);
    });

    it('answers with the last of several', async () => {
      const { store, reopen } = await make();
      await store.save(storedConfig('one', 20));
      await store.save(storedConfig('two', 5));

      expectSame(await (await reopen()).load(), storedConfig('two', 5));
    });

    it('keeps a configuration without a single record', async () => {
      const { store } = await make();
      await store.save(storedConfig('none', 0));

      expectSame(await store.load(), storedConfig('none', 0));
    });

    it('keeps the last one called when saves overlap', async () => {
      const { store } = await make();
      await Promise.all([
        store.save(storedConfig('one', 200)),
        store.save(storedConfig('two', 100)),
        store.save(storedConfig('three', 1)),
      ]);

      expectSame(await store.load(), storedConfig('three', 1));
    });
  });
}
