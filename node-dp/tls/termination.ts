/**
 * TLS towards clients: whose certificate is served under which name, and who is asked for one.
 *
 * The name is read from the client's first message before TLS sees it, and the handshake runs in a
 * context that has that certificate and no other. (Node's own way, `SNICallback`, copies one
 * certificate over the default one: a second of another type is lost, and the default's shows where
 * its type is the one that the client prefers.) Names are looked up in the tables of the moment: a new
 * certificate is served from the next handshake on, and open connections keep what they were opened
 * with. Clients that ask for no name, or for one that nobody has, get the default certificate.
 */
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import type { LiveCertificate } from '#shared/platform/node/tls/live-certificate.ts';
import type { PemPair } from '#shared/platform/node/tls/self-signed.ts';
import type { Certificates, CertificateTable } from '#shared/tables/certificates.ts';
import { CertificateContexts } from './contexts.ts';
import type { TlsPolicy } from './policy.ts';
import { TicketKeys } from './ticket-keys.ts';

/** `optional_no_ca` takes what comes; see HEADGATE_SSL_VERIFY_CLIENT. */
export interface ClientVerification {
  readonly mode: 'on' | 'optional' | 'optional_no_ca';
  /** PEM of the authorities; null for none, which only `optional_no_ca` can do with. */
  readonly ca: string | null;
}

export interface TerminationOptions {
  readonly policy: TlsPolicy;
  /** Null: clients are not asked. */
  readonly clients: ClientVerification | null;
  /** Served where no name leads to another. */
  readonly fallback: PemPair | LiveCertificate;
  /** Those of the tables that are served now; null while there are none. */
  certificates(): Certificates | null;
}

export class TlsTermination {
  /** Of every context, whatever its certificate. */
  readonly common: SecureContextOptions;
  readonly tickets = new TicketKeys();
  readonly #options: TerminationOptions;
  readonly #contexts: CertificateContexts;
  readonly #followers = new Set<(fallback: PemPair) => void>();
  #fallback: PemPair;
  #fallbackContext: SecureContext;

  constructor(options: TerminationOptions) {
    const { fallback } = options;
    this.#options = options;
    const ca = options.clients?.ca ?? null;
    this.common = ca === null ? options.policy : { ...options.policy, ca };
    this.#contexts = new CertificateContexts(this.common);
    this.#fallback = 'pair' in fallback ? fallback.pair : fallback;
    this.#fallbackContext = this.#contextOf(this.#fallback);
    if ('pair' in fallback) fallback.serve({ setSecureContext: (pair) => this.#renew(pair) });
  }

  /** Clients are asked for a certificate. */
  get asksClients(): boolean {
    return this.#options.clients !== null;
  }

  get fallback(): PemPair {
    return this.#fallback;
  }

  /** Tells of each new default certificate, until what it answers is called. */
  onFallback(fn: (fallback: PemPair) => void): () => void {
    this.#followers.add(fn);
    return () => this.#followers.delete(fn);
  }

  /** Null: the default certificate. One with a fault: none must be served. */
  find(serverName: string | null): CertificateTable | null {
    if (serverName === null) return null;
    return this.#options.certificates()?.find(serverName) ?? null;
  }

  /**
   * For who runs the handshake himself; null: there is none for the name. He asks nobody for a
   * certificate, so where clients must have one there is none either.
   */
  contextFor(serverName: string | null): SecureContext | null {
    if (this.#options.clients?.mode === 'on') return null;
    const found = this.find(serverName);
    if (found === null) return this.#fallbackContext;
    if (found.fault !== null) return null;
    try {
      return this.#contexts.of(found);
    } catch {
      return null; // Checked when the tables were built; whatever it is, the name stays closed.
    }
  }

  /** Whether a connection, after its handshake, may go on. */
  admits(socket: TLSSocket): boolean {
    const { clients } = this.#options;
    if (clients === null || clients.mode === 'optional_no_ca') return true;
    // Not by `authorized` alone: that is also true of a resumed session in which nobody showed one.
    if (socket.getPeerX509Certificate() === undefined) return clients.mode === 'optional';
    return socket.authorized;
  }

  close(): void {
    this.tickets.close();
    this.#followers.clear();
  }

  #renew(fallback: PemPair): void {
    this.#fallback = { cert: fallback.cert, key: fallback.key };
    this.#fallbackContext = this.#contextOf(this.#fallback);
    for (const follower of this.#followers) follower(this.#fallback);
  }

  #contextOf({ cert, key }: PemPair): SecureContext {
    return createSecureContext({ ...this.common, cert, key });
  }
}
