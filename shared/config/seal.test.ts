import { describe, expect, it } from 'vitest';
import { base64url, fromBase64url, fromUtf8, utf8 } from '../base/bytes.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import { open, seal } from './seal.ts';

describe('seal', () => {
  it('is opened by its recipient', async () => {
    const pair = await crypto.generateSealingKey();
    const sealed = await seal(pair.publicKey, utf8('secret'), 'for a test', crypto);
    const opened = await open(pair.privateKey, sealed, 'for a test', crypto);
    expect(opened && fromUtf8(opened)).toBe('secret');
  });

  it('never gives the same text twice', async () => {
    const pair = await crypto.generateSealingKey();
    const once = await seal(pair.publicKey, utf8('secret'), 'x', crypto);
    expect(await seal(pair.publicKey, utf8('secret'), 'x', crypto)).not.toBe(once);
  });

  it('stays shut for another key, another purpose and a changed byte anywhere', async () => {
    const pair = await crypto.generateSealingKey();
    const other = await crypto.generateSealingKey();
    const sealed = await seal(pair.publicKey, utf8('secret'), 'x', crypto);

    expect(await open(other.privateKey, sealed, 'x', crypto)).toBeNull();
    expect(await open(pair.privateKey, sealed, 'y', crypto)).toBeNull();
    const length = fromBase64url(sealed)?.length ?? 0;
    const opened = await Promise.all(
      Array.from({ length }, (_, at) => {
        const bytes = fromBase64url(sealed) ?? new Uint8Array();
        bytes[at] = (bytes[at] ?? 0) ^ 1;
        return open(pair.privateKey, base64url(bytes), 'x', crypto);
      }),
    );
    expect(opened).toEqual(Array.from({ length }, () => null));
  });

  it.each([
    ['nothing', ''],
    ['no base64url', '***'],
    ['too short', 'AAAA'],
    ['a key of low order', base64url(new Uint8Array(80))],
  ])('stays shut for %s', async (_name, sealed) => {
    const pair = await crypto.generateSealingKey();
    expect(await open(pair.privateKey, sealed, 'x', crypto)).toBeNull();
  });
});
