/** TLS towards upstreams: whom we trust, who we say we are, and sessions that are taken up again. */
import { hash } from 'node:crypto';
import { isIP } from 'node:net';
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import type { UpstreamTls } from '#shared/platform/platform.ts';

/** Trust and client certificate together; one with all public authorities takes a megabyte. */
export const TRUST_CONTEXTS_MAX = 256;

export interface TlsTarget {
  /** Where to connect to. */
  readonly address: string;
  readonly port: number;
  /** Name or address that is meant, and verified where `tls` has no name. */
  readonly host: string;
  readonly tls: UpstreamTls | null;
  /** Empty: none is offered. */
  readonly alpn: readonly string[];
  readonly allowHalfOpen?: boolean;
}

export class UpstreamTlsContexts {
  readonly #trusted: readonly string[] | null;
  /** Least recently used first. */
  readonly #contexts = new Map<string, SecureContext>();
  /** Tables keep these objects, so what is read off them is read once. */
  readonly #keys = new WeakMap<UpstreamTls, string>();
  readonly #caKeys = new WeakMap<readonly string[], string>();

  /** @param trusted  PEM of the authorities where none are named; null: those that Node brings */
  constructor(trusted: readonly string[] | null = null) {
    this.#trusted = trusted;
  }

  get count(): number {
    return this.#contexts.size;
  }

  /** Equal for those that may share connections: the same trust, identity and name. */
  keyOf(tls: UpstreamTls): string {
    let key = this.#keys.get(tls);
    if (key === undefined) {
      const { verify, verifyDepth, serverName } = tls;
      const depth = verify ? `v${verifyDepth ?? ''}` : '';
      key = `${depth}|${serverName ?? ''}|${this.#contextKey(tls)}`;
      this.#keys.set(tls, key);
    }
    return key;
  }

  /** Opens connections to one target that take up the session of the one before. */
  opener(target: TlsTarget): () => TLSSocket {
    const { address, port, host, tls, alpn } = target;
    const name = tls === null ? (isIP(host) === 0 ? host : null) : tls.serverName;
    const isVerified = tls?.verify ?? false;
    const context = tls === null ? null : this.#contextOf(tls);
    let session: Buffer | null = null;
    return () => {
      const socket = connect({
        host: address,
        port,
        rejectUnauthorized: isVerified,
        checkServerIdentity: (_name, certificate) =>
          identityFault(name ?? host, certificate, tls?.verifyDepth ?? null),
        ...(target.allowHalfOpen === true ? { allowHalfOpen: true } : {}),
        ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
        ...(context === null ? {} : { secureContext: context }),
        ...(name === null ? {} : { servername: name }),
        ...(session === null ? {} : { session }),
      });
      // Node tells of none before the connection was found good.
      socket.on('session', (newest) => (session = newest));
      return socket;
    };
  }

  #contextOf(tls: UpstreamTls): SecureContext {
    const key = this.#contextKey(tls);
    const known = this.#contexts.get(key);
    if (known !== undefined) {
      this.#contexts.delete(key);
      this.#contexts.set(key, known);
      return known;
    }
    const { clientCertificate: shown } = tls;
    const ca = tls.verify ? (tls.ca ?? this.#trusted) : null;
    const made = createSecureContext({
      ...(ca === null ? {} : { ca: [...ca] }),
      ...(shown === null ? {} : { cert: shown.cert, key: shown.key }),
    });
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size >= TRUST_CONTEXTS_MAX && oldest !== undefined) {
      this.#contexts.delete(oldest);
    }
    this.#contexts.set(key, made);
    return made;
  }

  #contextKey({ verify, ca, clientCertificate }: UpstreamTls): string {
    const trust = !verify ? '' : ca === null ? 'default' : this.#caKey(ca);
    return `${trust}|${clientCertificate?.id ?? ''}`;
  }

  #caKey(ca: readonly string[]): string {
    let key = this.#caKeys.get(ca);
    if (key === undefined) {
      key = hash('sha256', ca.join('\n'), 'hex');
      this.#caKeys.set(ca, key);
    }
    return key;
  }
}

/** Why a certificate, whose chain leads to an authority, is not that of whom we mean. */
function identityFault(
  name: string,
  certificate: PeerCertificate,
  depthMax: number | null,
): Error | undefined {
  // Node hands over the chain as well.
  const length = intermediateCount(certificate as DetailedPeerCertificate);
  if (depthMax !== null && length > depthMax) {
    return new Error(`certificate chain too long: ${length} intermediates, ${depthMax} allowed`);
  }
  return checkServerIdentity(name, certificate);
}

/** Every certificate has an issuer but for a bug or a loop. */
const CHAIN_LENGTH_MAX = 128;

/** Intermediate authorities between a certificate and its root, as OpenSSL's depth counts. */
function intermediateCount(leaf: DetailedPeerCertificate): number {
  let count = 0;
  let current = leaf;
  for (; count < CHAIN_LENGTH_MAX; count += 1) {
    const issuer: DetailedPeerCertificate | undefined = current.issuerCertificate;
    // A root is its own issuer.
    if (issuer === undefined || issuer === current) return Math.max(0, count - 1);
    current = issuer;
  }
  return count;
}
