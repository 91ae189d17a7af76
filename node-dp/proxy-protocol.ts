/**
 * PROXY protocol, versions 1 and 2: what a balancer that does not speak HTTP says of the connection
 * it passes on.
 *
 * Source: HAProxy, doc/proxy-protocol.txt sections 2.1 and 2.2
 */
import { isIPv4, isIPv6 } from 'node:net';
import { must } from '#shared/base/assert.ts';
import { formatIp, parseIp } from '#shared/base/ip.ts';
import type { Addresses } from './connection-facts.ts';
import { MORE, REFUSED, type Verdict } from './peek.ts';

/** Null: the balancer speaks for itself (a health check), or of something that is no TCP. */
export type ProxyHeader = Addresses | null;

/** The longest that version 1 can be. */
const V1_BYTES_MAX = 107;
const V1_START = Buffer.from('PROXY ', 'latin1');
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_HEAD_BYTES = 16;
/** Addresses and what may follow them (TLVs are not looked at), as nginx bounds it. */
const V2_REST_BYTES_MAX = 4096;

/** A judge for `peek`. The header is there or the connection is refused. */
export function judgeProxyHeader(bytes: Buffer): Verdict<ProxyHeader> {
  if (startsAs(bytes, V1_START)) return bytes.length < V1_START.length ? MORE : judgeV1(bytes);
  if (startsAs(bytes, V2_SIGNATURE)) return bytes.length < V2_HEAD_BYTES ? MORE : judgeV2(bytes);
  return REFUSED;
}

/** As far as there are bytes. */
function startsAs(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length);
  return bytes.compare(expected, 0, length, 0, length) === 0;
}

const V1 = /^PROXY (TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/;

function judgeV1(bytes: Buffer): Verdict<ProxyHeader> {
  const text = bytes.toString('latin1', 0, V1_BYTES_MAX);
  const end = text.indexOf('\r\n');
  if (end < 0) return bytes.length < V1_BYTES_MAX ? MORE : REFUSED;
  const taken = end + 2;
  const line = text.slice(0, end);
  if (line === 'PROXY UNKNOWN' || line.startsWith('PROXY UNKNOWN ')) {
    return { tag: 'known', value: null, taken };
  }
  const [, family, peer = '', local = '', peerPort, localPort] = V1.exec(line) ?? [];
  const isFamily = family === 'TCP4' ? isIPv4 : isIPv6;
  if (family === undefined || !isFamily(peer) || !isFamily(local)) return REFUSED;
  const ports = { peerPort: Number(peerPort), localPort: Number(localPort) };
  if (ports.peerPort > PORT_MAX || ports.localPort > PORT_MAX) return REFUSED;
  const [peerAddress, localAddress] = [canonical(peer), canonical(local)];
  if (peerAddress === null || localAddress === null) return REFUSED;
  return { tag: 'known', value: { peerAddress, localAddress, ...ports }, taken };
}

const PORT_MAX = 65_535;

const LOCAL = 0x20;
const PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;

function judgeV2(bytes: Buffer): Verdict<ProxyHeader> {
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const restBytes = bytes.readUInt16BE(14);
  if ((command !== LOCAL && command !== PROXY) || restBytes > V2_REST_BYTES_MAX) return REFUSED;
  const taken = V2_HEAD_BYTES + restBytes;
  const addressBytes = family === TCP4 ? 4 : 16;
  const isTcp = command === PROXY && (family === TCP4 || family === TCP6);
  if (isTcp && restBytes < 2 * addressBytes + 4) return REFUSED;
  if (bytes.length < taken) return MORE;
  const value = isTcp ? readV2(bytes.subarray(V2_HEAD_BYTES, taken), addressBytes) : null;
  return { tag: 'known', value, taken };
}

function readV2(rest: Buffer, addressBytes: number): Addresses {
  const portsAt = 2 * addressBytes;
  return {
    peerAddress: addressOf(rest.subarray(0, addressBytes)),
    localAddress: addressOf(rest.subarray(addressBytes, portsAt)),
    peerPort: rest.readUInt16BE(portsAt),
    localPort: rest.readUInt16BE(portsAt + 2),
  };
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups: string[] = [];
  for (let i = 0; i < bytes.length; i += 2) groups.push(bytes.readUInt16BE(i).toString(16));
  return must(canonical(groups.join(':')), 'eight groups are an address');
}

/** In the one spelling that limits and lists go by; null for what Node takes and we do not (zones). */
function canonical(address: string): string | null {
  const parsed = parseIp(address);
  return parsed === null ? null : formatIp(parsed);
}
