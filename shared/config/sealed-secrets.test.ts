import { describe, expect, it } from 'vitest';
import { base64url, fromBase64url } from '../base/bytes.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import { makeRecord, type ConfigRecord, type RecordKey } from './record.ts';
import { openSecrets, sealingKey, sealSecrets, type SealingGroup } from './sealed-secrets.ts';

const GROUP: SealingGroup = { cluster: 'c', groupId: 'g', generation: 1 };
const ENTITY: RecordKey = { kind: 'certificates', ws: 'w', id: 'i', placement: 'p' };
const SECRETS = { '/key': 'hidden', '/config/redis/password': 'also' };

const keyOf = (group: Partial<SealingGroup> = {}, byte = 7) =>
  sealingKey(new Uint8Array(32).fill(byte), { ...GROUP, ...group }, crypto);
const sealed = async (entity: Partial<RecordKey> = {}, secrets: object = SECRETS) =>
  sealSecrets({ ...ENTITY, ...entity }, { ...secrets }, await keyOf(), crypto);

/** The same sealed text as if it were of another record. */
function moved(record: ConfigRecord, key: Partial<RecordKey>): ConfigRecord {
  const { kind, ws, id, placement } = { ...record, ...key };
  return makeRecord({ kind, ws, id, placement }, { ...record.body, id }, crypto);
}

describe('sealed secrets', () => {
  it('open with the key that sealed them, and lie beside their entity', async () => {
    const record = await sealed();
    expect(await openSecrets(record, await keyOf(), crypto)).toEqual(SECRETS);
    expect(record).toMatchObject({ kind: 'sealed:certificates', ws: 'w', id: 'i', placement: 'p' });
    expect(record.text).not.toMatch(/hidden|also|password/);
  });

  it('have the same bytes whoever seals them, and others as soon as anything differs', async () => {
    const record = await sealed();
    expect((await sealed()).text).toBe(record.text);
    const others = [
      await sealed({}, { ...SECRETS, '/key': 'Hidden' }),
      await sealed({ id: 'j' }),
      await sealed({ ws: 'v' }),
      await sealed({ kind: 'keys' }),
      await sealSecrets(ENTITY, SECRETS, await keyOf({ generation: 2 }), crypto),
    ];
    const nonces = [record, ...others].map(({ body }) => String(body['sealed']).slice(0, 16));
    expect(new Set(nonces).size).toBe(6);
  });

  it.each([
    ['another secret', {}, 8],
    ['another generation', { generation: 2 }, 7],
    ['another group', { groupId: 'h' }, 7],
    ['another cluster', { cluster: 'd' }, 7],
  ])('do not open with the key of %s', async (_name, group, byte) => {
    expect(await openSecrets(await sealed(), await keyOf(group, byte), crypto)).toBeNull();
  });

  it.each([
    ['another entity', { id: 'j' }],
    ['another workspace', { ws: 'v' }],
    ['another kind', { kind: 'sealed:keys' }],
    ['no sealed kind', { kind: 'certificates' }],
  ])('do not open in the place of %s', async (_name, key) => {
    expect(await openSecrets(moved(await sealed(), key), await keyOf(), crypto)).toBeNull();
  });

  it('do not open with any byte changed, cut short, or replaced by something else', async () => {
    const record = await sealed();
    const key = await keyOf();
    const bytes = fromBase64url(String(record.body['sealed'])) ?? new Uint8Array();
    const variants: unknown[] = Array.from(bytes, (byte, at) =>
      base64url(bytes.with(at, byte ^ 1)),
    );
    variants.push(base64url(bytes.subarray(0, 20)), '', '***', null, 4711, ['x']);
    for (const text of variants) {
      const body = { ...record.body, sealed: text as string };
      expect(await openSecrets({ ...record, body }, key, crypto)).toBeNull();
    }
  });
});
