/** A client's certificate, as plugins see it. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { DownstreamTls, PeerCertificate } from '#shared/http/message.ts';

/** Facts of one TLS connection; what costs something is worked out when it is asked for. */
export class ConnectionTls implements DownstreamTls {
  readonly serverName: string | null;
  readonly version: string;
  readonly #socket: TLSSocket;
  #certificate: PeerCertificate | null | undefined;

  constructor(socket: TLSSocket) {
    // Node's type leaves out the name that the client asked for; `false` means none.
    const name = (socket as { servername?: string | false | null }).servername;
    this.serverName = typeof name === 'string' && name !== '' ? name : null;
    this.version = socket.getProtocol() ?? 'unknown';
    this.#socket = socket;
  }

  get clientCertificate(): PeerCertificate | null {
    if (this.#certificate === undefined) {
      const certificate = this.#socket.getPeerX509Certificate();
      this.#certificate =
        certificate === undefined ? null : describe(certificate, faultOf(this.#socket));
    }
    return this.#certificate;
  }
}

/** Why the peer's certificate was not found good; null when it was. */
export function faultOf(socket: TLSSocket): string | null {
  if (socket.authorized) return null;
  // A code such as `SELF_SIGNED_CERT_IN_CHAIN`; typed as an Error.
  return String(socket.authorizationError ?? 'not verified');
}

function describe(certificate: X509Certificate, fault: string | null): PeerCertificate {
  return {
    subject: distinguishedName(certificate.subject),
    issuer: distinguishedName(certificate.issuer),
    serial: certificate.serialNumber,
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    fault,
    pem: certificate.toString(),
  };
}

/**
 * Node writes one attribute a line, each escaped as RFC 4514 has it, in the order of the certificate;
 * the RFC has them in one line, the last one first.
 */
export function distinguishedName(lines: string): string {
  return lines.split('\n').toReversed().join(',');
}
