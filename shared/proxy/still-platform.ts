/** The platform of who only asks what would be done (`explain`): it tells, and does nothing. */
import { AssertionError } from '../base/assert.ts';
import type { Platform } from '../platform/platform.ts';

export function stillPlatform(
  ports: Pick<Platform, 'clock' | 'random' | 'crypto' | 'logger'>,
): Platform {
  return {
    ...ports,
    transport: { send: refuse },
    resolver: null,
    bodyMemory: null,
    counters: { read: refuse, increment: refuse },
    background: refuse,
  };
}

function refuse(): never {
  throw new AssertionError('an explanation does nothing');
}
