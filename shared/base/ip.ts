/**
 * IP addresses as numbers. All spellings of one address are one number, so that a list of networks
 * cannot be passed by writing an address differently; an IPv4 address is its IPv4-mapped IPv6 one.
 */

/** 128 bits. */
export type IpNumber = bigint;

/** A network: the bits under the mask are the address's. */
export interface Cidr {
  readonly address: IpNumber;
  readonly mask: IpNumber;
}

const ALL_ONES = (1n << 128n) - 1n;
const V4_MAPPED = 0xffffn << 32n;
/** Longer than any spelling; guards the parser. */
const TEXT_LENGTH_MAX = 64;

/**
 * Reads an address: IPv4 in four decimal parts, or IPv6 in any spelling of RFC 4291, brackets allowed.
 *
 * Null for anything else: zone identifiers, octal or short IPv4 forms, surrounding space.
 */
export function parseIp(text: string): IpNumber | null {
  if (text.length > TEXT_LENGTH_MAX) return null;
  if (!text.includes(':')) {
    const v4 = parseV4(text);
    return v4 === null ? null : V4_MAPPED | v4;
  }
  const isBracketed = text.startsWith('[') && text.endsWith(']');
  return parseV6(isBracketed ? text.slice(1, -1) : text);
}

/** Reads `address/bits`, or a single address. Host bits are dropped. Null when malformed. */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf('/');
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  const isV4 = !text.includes(':');
  const width = isV4 ? 32 : 128;
  let bits = width;
  if (slash >= 0) {
    const suffix = text.slice(slash + 1);
    if (!/^(?:0|[1-9]\d{0,2})$/.test(suffix)) return null;
    bits = Number(suffix);
    if (bits > width) return null;
  }
  const free = BigInt(width - bits);
  const mask = (ALL_ONES >> free) << free;
  return { address: address & mask, mask };
}

export function isInCidr(address: IpNumber, cidr: Cidr): boolean {
  return (address & cidr.mask) === cidr.address;
}

/** Whether it is an IPv4 address, in whichever of its spellings. */
export function isIPv4(address: IpNumber): boolean {
  return address >> 32n === 0xffffn;
}

/** The canonical text: dotted for IPv4 and IPv4-mapped addresses, RFC 5952 otherwise. */
export function formatIp(address: IpNumber): string {
  if (isIPv4(address)) {
    const low = Number(address & 0xffff_ffffn);
    return [24, 16, 8, 0].map((shift) => (low >>> shift) & 0xff).join('.');
  }
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    groups.push(Number((address >> shift) & 0xffffn));
  }
  return compress(groups);
}

function parseV4(text: string): bigint | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  let value = 0;
  for (const part of match.slice(1)) {
    // A leading zero means octal to some parsers and decimal to others.
    if ((part.length > 1 && part.startsWith('0')) || Number(part) > 255) return null;
    value = value * 256 + Number(part);
  }
  return BigInt(value);
}

function parseV6(text: string): bigint | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const zeros = Array.from({ length: missing }, () => 0);
  let value = 0n;
  for (const group of [...head, ...zeros, ...tail]) value = (value << 16n) | BigInt(group);
  return value;
}

/** 16-bit groups of one side of `::`; a dotted IPv4 address may end the whole text. */
function parseGroups(text: string, mayEndInV4: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const v4 = mayEndInV4 && index === parts.length - 1 ? parseV4(part) : null;
    if (v4 === null) return null;
    groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn));
  }
  return groups;
}

function compress(groups: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let i = 0; i < groups.length; i += 1) {
    let run = 0;
    while (groups[i + run] === 0) run += 1;
    if (run > length) {
      start = i;
      length = run;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}
