import { describe, expect, it } from 'vitest';
import { base64url } from '../base/bytes.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import { nodeRandom as random } from '../platform/node/random.ts';
import type { JsonValue } from '../schema/field.ts';
import type { FrameOf } from '../wire/frames.ts';
import { formatJoinToken, parseJoinToken } from './join-token.ts';
import { signEnrol, signHello, verifyEnrol, verifyHello, verifyTokenProof } from './proof.ts';

const about = {
  hostname: 'h',
  version: '1',
  runtime: 'node',
  labels: { zone: 'a' },
  features: ['x'],
} as const;
const unsignedHello: Omit<FrameOf<'hello'>, 'signature'> = {
  type: 'hello',
  protocol: 1,
  node: random.uuid(),
  group: 'default',
  host: 'cp.example:8005',
  nonce: base64url(random.bytes(32)),
  join_seq: 3,
  position: { epoch: 1, revision: 2, hash: 'a'.repeat(64) },
  level: 1,
  about,
};

/** The frame with each of its fields, at any depth, changed in turn. */
function* tamperings(value: JsonValue): Iterable<JsonValue> {
  if (typeof value === 'string') yield `${value}x`;
  if (typeof value === 'number') yield value + 1;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, child] of Object.entries(value)) {
    for (const changed of tamperings(child)) {
      yield Array.isArray(value) ? [changed] : { ...value, [name]: changed };
    }
  }
}

async function countAccepted<F>(
  frame: JsonValue,
  verify: (frame: F) => boolean | Promise<boolean>,
): Promise<{ tried: number; accepted: number }> {
  // Of the frame's shape by construction, but for one value.
  const verdicts = await Promise.all([...tamperings(frame)].map((changed) => verify(changed as F)));
  return { tried: verdicts.length, accepted: verdicts.filter(Boolean).length };
}

describe('hello', () => {
  it('is believed from the holder of the key, and from nobody after a change in any field', async () => {
    const key = await crypto.generateSigningKey();
    const other = await crypto.generateSigningKey();
    const frame = await signHello(unsignedHello, key.privateKey, crypto);

    expect(await verifyHello(frame, key.publicKey, crypto)).toBe(true);
    expect(await verifyHello(frame, other.publicKey, crypto)).toBe(false);
    const { tried, accepted } = await countAccepted<FrameOf<'hello'>>(frame, (changed) =>
      verifyHello(changed, key.publicKey, crypto),
    );
    expect(tried).toBeGreaterThan(14);
    expect(accepted).toBe(0);
  });

  it('is not believed, and breaks nothing, with a lone surrogate in it', async () => {
    const key = await crypto.generateSigningKey();
    const frame = await signHello(unsignedHello, key.privateKey, crypto);
    expect(await verifyHello({ ...frame, group: '\ud800' }, key.publicKey, crypto)).toBe(false);
  });
});

describe('enrol', () => {
  it('proves the token and the key, over every field, without the secret on the wire', async () => {
    const key = await crypto.generateSigningKey();
    const tokenSecret = random.bytes(32);
    const {
      node: _node,
      join_seq: _seq,
      position: _position,
      group: _group,
      ...rest
    } = unsignedHello;
    const frame = await signEnrol(
      {
        ...rest,
        type: 'enrol',
        token: random.uuid(),
        public_key: base64url(key.publicKey),
        sealing_key: 'k',
      },
      { tokenSecret, privateKey: key.privateKey },
      crypto,
    );
    const verifier = crypto.sha256(tokenSecret);

    expect(verifyTokenProof(frame, verifier, crypto)).toBe(true);
    expect(await verifyEnrol(frame, key.publicKey, crypto)).toBe(true);
    expect(verifyTokenProof(frame, crypto.sha256('guess'), crypto)).toBe(false);
    expect(JSON.stringify(frame)).not.toContain(base64url(tokenSecret));
    const { proof: _proof, signature: _signature, ...proven } = frame;
    const byProof = await countAccepted<FrameOf<'enrol'>>(proven, (changed) =>
      verifyTokenProof({ ...changed, proof: frame.proof, signature: '' }, verifier, crypto),
    );
    const bySignature = await countAccepted<FrameOf<'enrol'>>(frame, (changed) =>
      verifyEnrol(changed, key.publicKey, crypto),
    );
    expect([byProof.accepted, bySignature.accepted]).toEqual([0, 0]);
  });
});

describe('join token', () => {
  const token = {
    id: random.uuid(),
    // Bytes whose base64url holds the separator.
    secret: new Uint8Array(32).fill(255),
    rootKey: random.bytes(32),
  };

  it('is read back as it was made', () => {
    expect(parseJoinToken(` ${formatJoinToken(token, crypto)}\n`)).toEqual({
      id: token.id,
      secret: token.secret,
      rootKeyHash: new Uint8Array(crypto.sha256(token.rootKey)),
    });
  });

  it.each([
    ['empty', () => ''],
    ['cut short', (text: string) => text.slice(0, -1)],
    ['too long', (text: string) => `${text}A`],
    ['of another kind', (text: string) => text.replace('hgj_', 'hgk_')],
    ['without a part', (text: string) => text.split('_').slice(0, 2).join('_')],
    ['in capitals', (text: string) => text.toUpperCase()],
  ])('is refused when %s', (_name, change) => {
    expect(parseJoinToken(change(formatJoinToken(token, crypto)))).toBeNull();
  });
});
