/**
 * Takes chance and the clock away from this thread, so that a seed tells everything that happens: what
 * the code takes from its ports comes from the simulator anyway; this is for what it takes from Node.
 */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import type * as NodeCrypto from 'node:crypto';
import type * as TimersPromises from 'node:timers/promises';
import { SeededRandom } from '../support/seeded-random.ts';

/** Where the clock of every run begins. */
export const EPOCH_MS = Date.UTC(2026, 10, 1);

const PKCS8_PREFIX: Readonly<Record<string, string>> = {
  ed25519: '302e020100300506032b657004220420',
  x25519: '302e020100300506032b656e04220420',
};

/** What the run at hand puts in the place of Node's own. */
export interface Sources {
  random: SeededRandom;
  nowMs: () => number;
  delay: (ms: number) => Promise<void>;
}

export const sources: Sources = {
  random: new SeededRandom(0),
  nowMs: () => EPOCH_MS,
  delay: () => Promise.resolve(),
};

export function takeOver(): void {
  const require = createRequire(import.meta.url);
  // The modules' own objects, which `syncBuiltinESMExports` publishes.
  const crypto = require('node:crypto') as Mutable<typeof NodeCrypto>;
  const timers = require('node:timers/promises') as Mutable<typeof TimersPromises>;
  const bytes = (count: number): Buffer => Buffer.from(sources.random.bytes(count));
  const generate = (curve: string): unknown => {
    const prefix = PKCS8_PREFIX[curve];
    if (prefix === undefined) throw new Error(`no seeded keys of type ${curve}`);
    const key = Buffer.concat([Buffer.from(prefix, 'hex'), bytes(32)]);
    const privateKey = crypto.createPrivateKey({ key, format: 'der', type: 'pkcs8' });
    return { privateKey, publicKey: crypto.createPublicKey(privateKey) };
  };
  Object.assign(crypto, {
    randomUUID: () => sources.random.uuid(),
    randomBytes: bytes,
    generateKeyPairSync: generate,
  });
  Object.assign(timers, { setTimeout: (ms: number) => sources.delay(ms) });
  syncBuiltinESMExports();
  Math.random = () => sources.random.next();
  Date.now = () => sources.nowMs();
  performance.now = () => sources.nowMs() - EPOCH_MS;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
