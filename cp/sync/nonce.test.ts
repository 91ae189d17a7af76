import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { FakeClock } from '../../test/support/fake-platform.ts';
import { PULL_NONCE_MAX_MS, PullNonces, USED_COUNT_MAX } from './nonce.ts';

const key = new Uint8Array(32).fill(7);

function nonces(clock: FakeClock, secret = key): PullNonces {
  return new PullNonces({ key: secret, clock, random: nodeRandom, crypto: nodeCrypto });
}

describe('nonces for pull', () => {
  it('are taken by any control plane of the cluster, and by each once', () => {
    const clock = new FakeClock();
    const here = nonces(clock);
    const there = nonces(clock);
    const nonce = here.make();
    expect(there.redeem(nonce)).toBe(true);
    expect(there.redeem(nonce)).toBe(false);
    expect(nonces(clock, new Uint8Array(32)).redeem(nonce)).toBe(false);
  });

  it('last a minute and not longer', () => {
    const clock = new FakeClock();
    const it_ = nonces(clock);
    const [first, second] = [it_.make(), it_.make()];
    clock.advance(PULL_NONCE_MAX_MS);
    expect(it_.redeem(first)).toBe(true);
    clock.advance(1);
    expect(it_.redeem(second)).toBe(false);
  });

  it('are refused in every single other spelling', () => {
    const clock = new FakeClock();
    const it_ = nonces(clock);
    const nonce = it_.make();
    for (let i = 0; i < nonce.length; i += 1) {
      const letter = nonce[i] === 'A' ? 'B' : 'A';
      expect(it_.redeem(nonce.slice(0, i) + letter + nonce.slice(i + 1))).toBe(false);
    }
    for (const text of ['', `${nonce}A`, `${nonce}=`, nonce.slice(1), '\0']) {
      expect(it_.redeem(text)).toBe(false);
    }
    expect(it_.redeem(nonce)).toBe(true);
  });

  it('are forgotten when they have expired, or when there are too many', () => {
    const clock = new FakeClock();
    const it_ = nonces(clock);
    const first = it_.make();
    expect(it_.redeem(first)).toBe(true);
    for (let i = 1; i < USED_COUNT_MAX; i += 1) it_.redeem(it_.make());
    expect(it_.redeem(first)).toBe(false);
    expect(it_.redeem(it_.make())).toBe(true);
    // The oldest made room: the price of the bound, within its minute.
    expect(it_.redeem(first)).toBe(true);
  });
});
