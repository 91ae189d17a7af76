import { beforeAll, describe, expect, it } from 'vitest';
import { ScriptedControlPlane, testRecord } from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { base64url } from '../base/bytes.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import type { JsonValue } from '../schema/field.ts';
import type { SignedManifest } from '../wire/frames.ts';
import { canonicalJson } from './canonical.ts';
import { signKeyList, signingKeyId, type KeyList } from './key-list.ts';
import {
  MANIFEST_LENGTH_MAX,
  manifestFields,
  signManifest,
  verifySigned,
  type Manifest,
  type Pinned,
} from './manifest.ts';

let cp: ScriptedControlPlane;
let head: SignedManifest;
let pinned: Pinned;

beforeAll(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(1));
  ({ head } = await cp.publish([testRecord('a')]));
  ({ pinned } = cp);
});

async function verdict(signed: SignedManifest, by: Pinned = pinned): Promise<string> {
  const verified = await verifySigned(signed, by, crypto);
  return verified.ok ? 'ok' : verified.code;
}

/** Signed by the cluster's own keys, but saying something else. */
async function resigned(change: { readonly [name: string]: JsonValue }) {
  const manifest: Manifest = { ...JSON.parse(head.manifest), ...change };
  return { ...head, ...(await signManifest(manifest, cp.signing, crypto)) };
}

async function relisted(change: Partial<KeyList>, root = cp.root): Promise<SignedManifest> {
  const list = await signKeyList({ ...JSON.parse(head.key_list), ...change }, root, crypto);
  return { ...head, key_list: list.text, key_list_signature: list.signature };
}

describe('a signed manifest', () => {
  it('is believed from the pinned root key down', async () => {
    expect(await verifySigned(head, pinned, crypto)).toMatchObject({
      ok: true,
      manifest: { revision: 1, records: 1 },
      hash: cp.head?.position.hash,
      keySequence: 1,
    });
  });

  it('may say more than this release knows', async () => {
    const later = {
      surprise: 1,
      settings: { staleness: 'warn', staleness_seconds: 60, surprise: 2 },
    };
    const verified = await verifySigned(await resigned(later), pinned, crypto);
    expect(verified).toMatchObject({
      ok: true,
      manifest: { settings: { staleness: 'warn', staleness_seconds: 60 } },
    });
    expect(JSON.stringify(verified)).not.toContain('surprise');
  });

  it('is refused with any one character of any of its texts changed', async () => {
    for (const name of ['manifest', 'signature', 'key_list', 'key_list_signature'] as const) {
      const text = head[name];
      const changed = Array.from({ length: text.length }, (_, at) => {
        const flipped = String.fromCharCode(text.charCodeAt(at) ^ 1);
        return { ...head, [name]: text.slice(0, at) + flipped + text.slice(at + 1) };
      });
      const verdicts = await Promise.all(changed.map((signed) => verdict(signed)));
      expect(new Set(verdicts)).toEqual(new Set(['bad_signature']));
    }
  });

  it('is refused with any field changed and not signed again', async () => {
    const manifest = JSON.parse(head.manifest);
    for (const name of Object.keys(manifestFields)) {
      for (const value of [null, 0, 'x', [], { a: 1 }]) {
        const text = canonicalJson({ ...manifest, [name]: value });
        if (text === head.manifest) continue;
        expect(await verdict({ ...head, manifest: text })).toBe('bad_signature');
      }
    }
  });

  it.each<[string, { [name: string]: JsonValue }, string]>([
    ['another cluster', { cluster: '00000000-0000-4000-8000-00000000000f' }, 'wrong_cluster'],
    ['another group', { group_id: '00000000-0000-4000-8000-00000000000f' }, 'wrong_group'],
    ['a feature that is not known', { features: ['teleport'] }, 'unknown_feature'],
    ['a setting out of bounds', { settings: { staleness: 'never' } }, 'unknown_feature'],
    ['a root that is no hash', { root: 'abc' }, 'unknown_feature'],
    ['a key that did not sign it', { key_id: 'other' }, 'bad_signature'],
  ])('of %s is refused though it is signed', async (_name, change, code) => {
    expect(await verdict(await resigned(change))).toBe(code);
  });

  it('of another format is refused as that, whatever else is in it', async () => {
    const signed = await resigned({ format: 2, surprise: 1 });
    expect(await verifySigned(signed, pinned, crypto)).toEqual({
      ok: false,
      code: 'unknown_feature',
      detail: 'manifest format 2',
    });
  });

  it('is refused by who pinned another root, cluster or group', async () => {
    const other = '00000000-0000-4000-8000-00000000000f';
    const { publicKey } = await crypto.generateSigningKey();
    expect(await verdict(head, { ...pinned, rootKey: publicKey })).toBe('bad_signature');
    expect(await verdict(head, { ...pinned, cluster: other })).toBe('wrong_cluster');
    expect(await verdict(head, { ...pinned, groupId: other })).toBe('wrong_group');
  });

  it('is refused before anything is read when it is too long', async () => {
    const manifest = ' '.repeat(MANIFEST_LENGTH_MAX + 1);
    expect(await verdict({ ...head, manifest })).toBe('too_large');
    expect(await verdict({ ...head, manifest: manifest.slice(1) })).toBe('bad_signature');
  });

  it('is not accepted with a signature that was made for another purpose', async () => {
    const list = await signKeyList(JSON.parse(head.manifest), cp.signing, crypto);
    expect(await verdict({ ...head, signature: list.signature })).toBe('bad_signature');
  });
});

describe('the key list', () => {
  it('is refused when it is signed by another root', async () => {
    const thief = await crypto.generateSigningKey();
    expect(await verdict(await relisted({}, thief))).toBe('bad_signature');
  });

  it('is refused when it is of another cluster', async () => {
    const cluster = '00000000-0000-4000-8000-00000000000f';
    expect(await verdict(await relisted({ cluster }))).toBe('wrong_cluster');
  });

  it('is refused when a newer one was seen, and taken when it is the same or newer', async () => {
    expect(await verdict(head, { ...pinned, keySequence: 2 })).toBe('bad_signature');
    expect(await verdict(head, { ...pinned, keySequence: 1 })).toBe('ok');
    expect(await verdict(await relisted({ sequence: 3 }), { ...pinned, keySequence: 2 })).toBe(
      'ok',
    );
  });

  it('takes a key out of force at both ends of its time', async () => {
    const [key] = JSON.parse(head.key_list).keys;
    const { created_at: at } = JSON.parse(head.manifest);
    const within = async (notBefore: number, notAfter: number | null): Promise<string> =>
      verdict(await relisted({ keys: [{ ...key, not_before: notBefore, not_after: notAfter }] }));

    expect(await within(at, at)).toBe('ok');
    expect(await within(at + 1, null)).toBe('bad_signature');
    expect(await within(0, at - 1)).toBe('bad_signature');
  });

  it('lets any of its keys sign, and none that it does not name', async () => {
    const second = await crypto.generateSigningKey();
    const keyOf = (publicKey: Uint8Array) => ({
      id: signingKeyId(publicKey, crypto),
      public_key: base64url(publicKey),
      not_before: 0,
      not_after: null,
    });
    const both = [keyOf(cp.signing.publicKey), keyOf(second.publicKey)];
    const manifest = { ...JSON.parse(head.manifest), key_id: both[1]?.id };
    const signed = await signManifest(manifest, second, crypto);

    expect(await verdict({ ...(await relisted({ keys: both })), ...signed })).toBe('ok');
    expect(await verdict({ ...head, ...signed })).toBe('bad_signature');
    expect(await verdict(await relisted({ keys: [] }))).toBe('bad_signature');
  });
});
