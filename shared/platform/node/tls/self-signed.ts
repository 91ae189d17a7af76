/**
 * A certificate of one's own for a listener on loopback, where no authority would sign one: P-256,
 * signed by its own key, for the server's side of TLS only. Node reads X.509 and does not write it;
 * libraries that do bring a dozen others, for what is one fixed shape of DER (X.690, RFC 5280).
 */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface PemPair {
  /** A chain: the server's own certificate first. */
  readonly cert: string;
  readonly key: string;
}

export interface SelfSignedRequest {
  /** Common name, for people. */
  readonly name: string;
  /** DNS names and IPv4 addresses that it is good for, and `::1`. */
  readonly hosts: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const OID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const;

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  dnsName: 0x82,
  address: 0x87,
  version: 0xa0,
  extensions: 0xa3,
} as const;

const SERIAL_BYTES = 16;
/** From this year on a time has four digits of it (RFC 5280, 4.1.2.5). */
const GENERALIZED_YEAR = 2050;

export function selfSigned(request: SelfSignedRequest): PemPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const body = toBeSigned(request, publicKey);
  const signature = sign('sha256', body, privateKey);
  const certificate = sequence(body, algorithm(), bitString(signature));
  return {
    cert: pem('CERTIFICATE', certificate),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function toBeSigned(request: SelfSignedRequest, publicKey: KeyObject): Buffer {
  const { name, notBefore, notAfter } = request;
  // Its own issuer.
  const who = sequence(der(TAG.set, sequence(oid(OID.commonName), der(TAG.utf8, utf8(name)))));
  return sequence(
    der(TAG.version, der(TAG.integer, Buffer.of(2))),
    der(TAG.integer, serial()),
    algorithm(),
    who,
    sequence(time(notBefore), time(notAfter)),
    who,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(TAG.extensions, sequence(...extensions(request.hosts))),
  );
}

function extensions(hosts: readonly string[]): Buffer[] {
  const names = hosts.map((host) => {
    const address = addressBytes(host);
    return address === null ? der(TAG.dnsName, utf8(host)) : der(TAG.address, address);
  });
  // The first bit alone: digitalSignature.
  const usage = der(TAG.bitString, Buffer.of(7, 0x80));
  return [
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.keyUsage, true, usage),
    extension(OID.extKeyUsage, false, sequence(oid(OID.serverAuth))),
    extension(OID.subjectAltName, false, sequence(...names)),
  ];
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  const critical = isCritical ? [der(TAG.boolean, Buffer.of(0xff))] : [];
  return sequence(oid(id), ...critical, der(TAG.octetString, value));
}

function addressBytes(host: string): Buffer | null {
  if (isIPv4(host)) return Buffer.from(host.split('.').map(Number));
  return host === '::1' ? Buffer.from([...new Uint8Array(15), 1]) : null;
}

function algorithm(): Buffer {
  return sequence(oid(OID.ecdsaWithSha256));
}

/** Positive, and without a leading zero. */
function serial(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = 0x40 | (bytes.readUInt8(0) & 0x3f);
  return bytes;
}

function time(date: Date): Buffer {
  const text = `${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
  return date.getUTCFullYear() < GENERALIZED_YEAR
    ? der(TAG.utcTime, utf8(text.slice(2)))
    : der(TAG.generalizedTime, utf8(text));
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** Seven bits per byte, all but the last marked. */
function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >> 7; rest > 0; rest >>= 7) bytes.unshift(0x80 | (rest & 0x7f));
  return bytes;
}

function sequence(...parts: Buffer[]): Buffer {
  return der(TAG.sequence, ...parts);
}

/** @param bytes  of which every bit counts */
function bitString(bytes: Buffer): Buffer {
  return der(TAG.bitString, Buffer.of(0), bytes);
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const size = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function utf8(text: string): Buffer {
  return Buffer.from(text, 'utf8');
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
