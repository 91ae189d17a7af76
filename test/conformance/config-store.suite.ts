/** What every implementation of the ConfigStore port must do. */
import { describe, expect, it } from 'vitest';
import type { ConfigStore } from '#shared/platform/platform.ts';
import { storedConfig } from './stored-config.ts';

export interface ConfigStoreHarness {
  readonly store: ConfigStore;
  /** Another store on the same ground, as after a restart. */
  reopen(): ConfigStore | Promise<ConfigStore>;
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

      expect(await store.load()).toEqual(config);
    });

    it('gives it back after a restart', async () => {
      const { store, reopen } = await make();
      const config = storedConfig('one', 300);
      await store.save(config);

      expect(await (await reopen()).load()).toEqual(config);
    });

    it('keeps the last of several, and nothing of the others', async () => {
      const { store, reopen } = await make();
      await store.save(storedConfig('one', 20));
      await store.save(storedConfig('two', 5));

      expect(await (await reopen()).load()).toEqual(storedConfig('two', 5));
    });

    it('keeps a configuration without a single record', async () => {
      const { store } = await make();
      await store.save(storedConfig('none', 0));

      expect(await store.load()).toEqual(storedConfig('none', 0));
    });

    it('keeps the last one called when saves overlap', async () => {
      const { store } = await make();
      await Promise.all([
        store.save(storedConfig('one', 200)),
        store.save(storedConfig('two', 100)),
        store.save(storedConfig('three', 1)),
      ]);

      expect(await store.load()).toEqual(storedConfig('three', 1));
    });
  });
}
