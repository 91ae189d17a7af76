import { expect, it } from 'vitest';
import { MANIFEST_LENGTH_MAX } from '../config/manifest.ts';
import { RPC_TEXT_LENGTH_MAX } from '../wire/protocol.ts';
import { headPart } from './head-part.ts';
import { CALLS_BURST_MAX } from './rpc.ts';

const KEYS = { signature: 'S'.repeat(86), key_list: '', key_list_signature: '' };

it('shows the longest manifest in parts that fit an answer, in no more calls than a burst allows', () => {
  // Each of these is two characters in JSON.
  const manifest = '"\\'.repeat(MANIFEST_LENGTH_MAX / 2);
  let shown = '';
  let calls = 0;
  while (shown.length < manifest.length) {
    const part = headPart({ signed: { manifest, ...KEYS } }, shown.length);
    expect(part.length).toBe(manifest.length);
    expect(JSON.stringify(part).length).toBeLessThanOrEqual(RPC_TEXT_LENGTH_MAX);
    shown += part.manifest;
    calls += 1;
  }
  expect(shown).toBe(manifest);
  expect(calls).toBeLessThanOrEqual(CALLS_BURST_MAX);
});

it('is refused while nothing is served', () => {
  expect(() => headPart(null, 0)).toThrow('nothing is served');
});
