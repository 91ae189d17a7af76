/** The client behind a trusted terminator. */
import { type BlockList, isIP } from 'node:net';

/** Addresses of `X-Forwarded-For` that are looked at, from its end. */
const HOPS_MAX = 20;

/**
 * The last address in `X-Forwarded-For` that is no terminator of ours: what stands before it is the
 * client's own word.
 *
 * @param peer  address of the connected socket
 * @returns null unless a trusted terminator says so
 */
export function forwardedFor(
  header: string | null,
  peer: string,
  trusted: BlockList,
): string | null {
  if (header === null || !contains(trusted, peer)) return null;
  const hops = header.split(',').slice(-HOPS_MAX).toReversed();
  for (const hop of hops) {
    const address = hop.trim();
    if (isIP(address) === 0) return null;
    if (!contains(trusted, address)) return address;
  }
  return null;
}

export function contains(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
