import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signProposal } from '../keys/signing-keys.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const PATH = '/headgate/keys/signing';
let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin();
}, 60_000);
afterAll(() => admin.close());

describe(PATH, () => {
  it('proposes a list with another key, and changes nothing by that', async () => {
    const before = await admin.call('GET', PATH);
    expect(before.status).toBe(200);
    const { keys: present, sequence } = JSON.parse(String(before.body['text']));
    const { status, body } = await admin.call('POST', PATH, { change: 'add' });
    expect(status).toBe(200);
    const proposed = JSON.parse(String(body['text']));
    expect(proposed).toMatchObject({ sequence: Number(sequence) + 1 });
    expect(proposed.keys.slice(1)).toEqual(present);
    const recovery = await admin.call('POST', PATH, { change: 'recover' });
    expect(JSON.parse(String(recovery.body['text']))).toMatchObject({
      recoveries: 1,
      keys: [expect.not.objectContaining({ id: present[0].id })],
    });
    expect((await admin.call('GET', PATH)).body).toEqual(before.body);
  });

  it('takes nothing that the root key has not signed', async () => {
    const { body } = await admin.call('POST', PATH, { change: 'add' });
    const signed = await signProposal(String(body['text']), new Uint8Array(32).fill(1));
    const answer = await admin.call('PUT', PATH, { ...signed });
    expect([answer.status, answer.body['message']]).toEqual([
      409,
      'the list is not signed by the root key of this cluster',
    ]);
  });
});
