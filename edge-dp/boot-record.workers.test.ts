import { describe, expect, it } from 'vitest';
import {
  parseBootKey,
  readBootRecord,
  writeBootRecord,
  type BootRecord,
} from '#shared/config/boot-record.ts';
import { edgeCrypto } from './crypto.ts';
import { edgeRandom } from './platform.ts';

const platform = { crypto: edgeCrypto, random: edgeRandom };
const record: BootRecord = {
  cluster: '11111111-1111-4111-8111-111111111111',
  groupId: '22222222-2222-4222-8222-222222222222',
  rootKey: new Uint8Array(32).fill(7),
  groupSecrets: [
    { generation: 2, secret: new Uint8Array(32).fill(2) },
    { generation: 1, secret: new Uint8Array(32).fill(1) },
  ],
};
const key = new Uint8Array(32).fill(9);

describe('the boot record in KV', () => {
  it('comes back whole for whoever has the boot key', async () => {
    const text = await writeBootRecord(record, key, platform);

    expect(await readBootRecord(text, key, edgeCrypto)).toEqual(record);
  });

  it('shows no secret, with a boot key or without', async () => {
    const sealed = await writeBootRecord(record, key, platform);
    const open = await writeBootRecord(record, null, platform);

    for (const text of [sealed, open]) {
      expect(text).not.toContain('AgICAgIC');
      expect(text).not.toContain('AQEBAQEB');
    }
    expect(await readBootRecord(open, null, edgeCrypto)).toEqual({ ...record, groupSecrets: [] });
  });

  it('is nothing to an isolate with another key, or to one with a key when it was written without', async () => {
    const sealed = await writeBootRecord(record, key, platform);
    const open = await writeBootRecord(record, null, platform);

    expect(await readBootRecord(sealed, new Uint8Array(32), edgeCrypto)).toBeNull();
    expect(await readBootRecord(open, key, edgeCrypto)).toBeNull();
  });

  it('does not take another cluster or root key under the same seal', async () => {
    const text = await writeBootRecord(record, key, platform);
    const other = text.replace(record.cluster, '33333333-3333-4333-8333-333333333333');

    expect(await readBootRecord(other, key, edgeCrypto)).toBeNull();
  });

  it('is refused when it is no record at all', async () => {
    for (const text of ['', 'null', '{}', '{"format":2}', '[]']) {
      expect(await readBootRecord(text, key, edgeCrypto)).toBeNull();
    }
  });

  it('takes the boot key in both base64 alphabets, and nothing that is not 32 bytes', () => {
    const bytes = new Uint8Array(32).fill(0xfb);
    const text = btoa(String.fromCharCode(...bytes));

    expect(parseBootKey(text)).toEqual(bytes);
    expect(parseBootKey(text.replaceAll('+', '-').replaceAll('/', '_').replace('=', ''))).toEqual(
      bytes,
    );
    expect(parseBootKey(btoa('short'))).toBeNull();
    expect(parseBootKey('not base64!')).toBeNull();
  });
});
