/**
 * Nonces of the challenge. Over WebSocket a nonce lives in its session. For pull it carries its own
 * expiry and proof, so that any control plane can check what another one handed out.
 */
import { base64url, concat, fromBase64url, utf8 } from '#shared/base/bytes.ts';
import type { Clock, Crypto, Random } from '#shared/platform/platform.ts';

export const PULL_NONCE_MAX_MS = 60_000;
/** Nonces remembered as used; when full, the oldest make room. */
export const USED_COUNT_MAX = 50_000;

const NONCE_BYTES = 32;
const RANDOM_BYTES = 16;
const EXPIRY_BYTES = 8;
const PROOF_BYTES = 32;

export function sessionNonce(random: Random): string {
  return base64url(random.bytes(NONCE_BYTES));
}

export interface PullNoncesOptions {
  /** Derived from the cluster's secret: the same on all control planes. */
  readonly key: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
}

export class PullNonces {
  readonly #options: PullNoncesOptions;
  /** Used here: nonce → when it expires. Another control plane would take it once more. */
  readonly #used = new Map<string, number>();

  constructor(options: PullNoncesOptions) {
    this.#options = options;
  }

  make(): string {
    const { random, clock } = this.#options;
    const expiry = new Uint8Array(EXPIRY_BYTES);
    const expiresMs = Math.floor(clock.now()) + PULL_NONCE_MAX_MS;
    new DataView(expiry.buffer).setBigUint64(0, BigInt(expiresMs));
    const body = concat(random.bytes(RANDOM_BYTES), expiry);
    return base64url(concat(body, this.#proof(body)));
  }

  /** True once per nonce, while it lasts. */
  redeem(nonce: string): boolean {
    const { clock, crypto } = this.#options;
    const bytes = fromBase64url(nonce);
    if (bytes === null || bytes.length !== RANDOM_BYTES + EXPIRY_BYTES + PROOF_BYTES) return false;
    const body = bytes.subarray(0, RANDOM_BYTES + EXPIRY_BYTES);
    if (!crypto.timingSafeEqual(this.#proof(body), bytes.subarray(body.length))) return false;
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const expiresMs = Number(view.getBigUint64(RANDOM_BYTES));
    const nowMs = clock.now();
    // The upper bound matters when this control plane's clock is behind the one that made it.
    if (nowMs > expiresMs || expiresMs > nowMs + 2 * PULL_NONCE_MAX_MS) return false;
    // Two spellings of one nonce (unused bits at the end) must not count as two.
    const id = base64url(body);
    if (this.#used.has(id)) return false;
    this.#remember(id, expiresMs, nowMs);
    return true;
  }

  #proof(body: Uint8Array): Uint8Array {
    const { crypto, key } = this.#options;
    return crypto.hmac(key, concat(utf8('headgate-pull-v1\n'), body));
  }

  #remember(id: string, expiresMs: number, nowMs: number): void {
    for (const [oldest, expiry] of this.#used) {
      if (expiry >= nowMs && this.#used.size < USED_COUNT_MAX) break;
      this.#used.delete(oldest);
    }
    this.#used.set(id, expiresMs);
  }
}
