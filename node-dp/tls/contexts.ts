/** Contexts of certificates from the configuration: made at the first handshake, kept while used. */
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateTable } from '#shared/tables/certificates.ts';

/** Each takes some 50 kB. */
export const CONTEXTS_MAX = 1024;

export class CertificateContexts {
  readonly #common: SecureContextOptions;
  readonly #countMax: number;
  /** Least recently used first. Tables keep the object of a certificate that has not changed. */
  readonly #contexts = new Map<CertificateTable, SecureContext>();

  constructor(common: SecureContextOptions, countMax: number = CONTEXTS_MAX) {
    this.#common = common;
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#contexts.size;
  }

  /** @throws what OpenSSL has against it */
  of(certificate: CertificateTable): SecureContext {
    const known = this.#contexts.get(certificate);
    const context = known ?? make(certificate, this.#common);
    if (known !== undefined) this.#contexts.delete(certificate);
    this.#contexts.set(certificate, context);
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size > this.#countMax && oldest !== undefined) {
      this.#contexts.delete(oldest);
    }
    return context;
  }

  /** What OpenSSL has against a certificate; null when it can be served. */
  fault(certificate: CertificateTable): string | null {
    try {
      make(certificate, this.#common);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

function make({ cert, key, alt }: CertificateTable, common: SecureContextOptions): SecureContext {
  return createSecureContext({
    ...common,
    cert: alt === null ? cert : [cert, alt.cert],
    key: alt === null ? key : [key, alt.key],
  });
}
