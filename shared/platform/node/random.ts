/** The Random port: the operating system's generator. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Random } from '../platform.ts';

export const nodeRandom: Random = {
  bytes(length) {
    return randomBytes(length);
  },
  uuid() {
    return randomUUID();
  },
  next() {
    return Math.random();
  },
};
