import { describe, expect, it } from 'vitest';
import { Greeters, IDLE_MS, KEPT_PLACES } from './greeters.ts';

class Peer {
  readonly ip: string;
  readonly owesHelloSinceMs: number | null;
  isEnded = false;

  constructor(ip: string, owesHelloSinceMs: number | null) {
    this.ip = ip;
    this.owesHelloSinceMs = owesHelloSinceMs;
  }

  dispatch(): void {
    this.isEnded = true;
  }
}

function greeters(peers: readonly Peer[]): Greeters<Peer> {
  const made = new Greeters<Peer>();
  for (const peer of peers) made.add(peer);
  return made;
}

function peersOf(ip: string, count: number, sinceMs: number | null): Peer[] {
  return Array.from({ length: count }, () => new Peer(ip, sinceMs));
}

const NOW = 100_000;

describe('peers that greet', () => {
  it('from the address that has most of them make room for another, the oldest first', () => {
    const idle = peersOf('192.0.2.1', KEPT_PLACES + 1, NOW - IDLE_MS);
    const others = peersOf('192.0.2.2', KEPT_PLACES, NOW - IDLE_MS);
    const made = greeters([...others, ...idle]);
    expect(made.makeRoom('192.0.2.3', NOW)).toBe(true);
    expect(idle.map(({ isEnded }) => isEnded).indexOf(true)).toBe(0);
    expect(made.size).toBe(KEPT_PLACES * 2);
    // Now no address has more than it may keep.
    expect(made.makeRoom('192.0.2.3', NOW)).toBe(false);
  });

  it.each([
    ['that answer in time', peersOf('192.0.2.1', 64, NOW - IDLE_MS + 1)],
    ['whose hello is being looked at', peersOf('192.0.2.1', 64, null)],
    ['from where the newcomer is', peersOf('192.0.2.3', 64, 0)],
  ])('%s stay', (_name, peers) => {
    expect(greeters(peers).makeRoom('192.0.2.3', NOW)).toBe(false);
    expect(peers.some(({ isEnded }) => isEnded)).toBe(false);
  });
});
