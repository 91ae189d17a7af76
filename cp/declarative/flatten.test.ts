import { describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { AdminError } from '../admin/errors.ts';
import { ENTITIES_MAX, Flattener } from './flatten.ts';
import { IdMaker } from './ids.ts';
import { ImportErrors } from './import-errors.ts';
import { declarableKinds } from './kinds.ts';

describe('a configuration', () => {
  it('may hold so many entities and no more, nested ones included', async () => {
    const errors = new ImportErrors();
    const kinds = declarableKinds(REGISTRY.entities);
    const flattener = new Flattener(kinds, new IdMaker(new Uint8Array(32)), errors, 3);
    const service = { name: 's', routes: [{ name: 'a' }, { name: 'b' }] };
    await flattener.flatten({ services: [service] });
    expect(ENTITIES_MAX).toBeGreaterThan(3);
    const more = new Flattener(kinds, new IdMaker(new Uint8Array(32)), errors, 2);
    await expect(more.flatten({ services: [service] })).rejects.toThrow(AdminError);
  });
});
