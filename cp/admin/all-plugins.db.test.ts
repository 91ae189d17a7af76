/** Every plugin of Kong through the Admin API: written, read, written back, deleted. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';
import { PLUGIN_DEFINITIONS } from '#shared/plugins/definitions.ts';
import { LEAST } from '#shared/plugins/schemas.cases.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin({ allowUnsupported: true });
});
afterAll(() => admin.close());

describe.each([...PLUGIN_DEFINITIONS.keys()])('%s', (name) => {
  it('is read as it was written, secrets included, and can be written back', async () => {
    const made = await admin.call('POST', '/plugins', { name, config: LEAST[name] });
    expect([made.status, made.body]).toMatchObject([201, { name, config: LEAST[name] }]);
    const path = `/plugins/${made.body['id']}`;

    expect((await admin.call('GET', path)).body).toEqual(made.body);
    const put = await admin.call('PUT', path, made.body);
    expect(put.body['config']).toEqual(made.body['config']);
    const patch = await admin.call('PATCH', path, { config: made.body['config'] });
    expect(patch.body['config']).toEqual(made.body['config']);
    expect((await admin.call('DELETE', path)).status).toBe(204);
  });
});
