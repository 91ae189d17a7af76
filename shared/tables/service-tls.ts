/** How TLS is spoken to a service's upstream: made when a route is bound, used by every request. */
import type { ClientCertificate, UpstreamTls } from '../platform/platform.ts';
import type { Service } from '../entities/service.ts';
import type { Upstream } from '../entities/upstream.ts';
import type { Certificates, CertificateTable } from './certificates.ts';

/** What holds where entities say nothing. */
export interface UpstreamTlsDefaults {
  readonly verify: boolean;
  readonly verifyDepth: number;
  readonly clientCertificate: ClientCertificate | null;
}

/** As Kong ships: nginx verifies nothing unless told to, and then one intermediate deep. */
export const UPSTREAM_TLS_DEFAULTS: UpstreamTlsDefaults = {
  verify: false,
  verifyDepth: 1,
  clientCertificate: null,
};

/** What names an entity that asks for it, and closes what depends on that. */
export const NO_EDGE_CLIENT_CERTIFICATE =
  'client certificates to upstreams are not supported at the edge';

/** Names kept per service; with `preserve_host` the client chooses them. */
const NAMES_MAX = 256;

/** For one service, all but the name: that follows the Host header of the request. */
export class ServiceTls {
  readonly #base: Omit<UpstreamTls, 'serverName'>;
  readonly #byName = new Map<string | null, UpstreamTls>();

  constructor(base: Omit<UpstreamTls, 'serverName'>) {
    this.#base = base;
  }

  /** The same object for the same name, as long as few are asked for. */
  named(serverName: string | null): UpstreamTls {
    const known = this.#byName.get(serverName);
    if (known !== undefined) return known;
    const made: UpstreamTls = { ...this.#base, serverName };
    if (this.#byName.size >= NAMES_MAX) this.#byName.clear();
    this.#byName.set(serverName, made);
    return made;
  }
}

/** What it is made of: equal means that it can be kept. */
export interface TlsParts {
  readonly service: Service;
  readonly clientCertificate: CertificateTable | null;
  /** PEM; null: the runtime's own. */
  readonly authorities: readonly string[] | null;
}

export type TlsOutcome =
  | { readonly ok: true; readonly parts: TlsParts }
  | { readonly ok: false; readonly fault: string };

/** Looks up what a service refers to. The service's client certificate comes before its upstream's. */
export function findTlsParts(
  ws: string,
  service: Service,
  upstream: Upstream | null,
  certificates: Certificates,
): TlsOutcome {
  const shown = service.client_certificate ?? upstream?.client_certificate ?? null;
  const certificate = shown === null ? null : certificates.get(ws, shown.id);
  if (shown !== null && certificate === null) {
    return fault(`its client certificate ${shown.id} is missing, or cannot be used here`);
  }
  if (certificate !== null && certificate.fault !== null) {
    return fault(`its client certificate cannot be used: ${certificate.fault}`);
  }
  const ids = service.ca_certificates ?? [];
  if (ids.length === 0) {
    return { ok: true, parts: { service, clientCertificate: certificate, authorities: null } };
  }
  const authorities: string[] = [];
  for (const id of ids) {
    const authority = certificates.authority(id);
    if (authority === null) return fault(`the CA certificate ${id} is missing`);
    authorities.push(authority);
  }
  return { ok: true, parts: { service, clientCertificate: certificate, authorities } };
}

export function isSameTls(a: TlsParts, b: TlsParts): boolean {
  return (
    a.service === b.service &&
    a.clientCertificate === b.clientCertificate &&
    a.authorities?.length === b.authorities?.length &&
    (a.authorities?.every((pem, i) => pem === b.authorities?.[i]) ?? true)
  );
}

export function makeServiceTls(parts: TlsParts, defaults: UpstreamTlsDefaults): ServiceTls {
  const { service, clientCertificate, authorities } = parts;
  return new ServiceTls({
    verify: service.tls_verify ?? defaults.verify,
    verifyDepth: service.tls_verify_depth ?? defaults.verifyDepth,
    ca: authorities,
    clientCertificate:
      clientCertificate === null
        ? defaults.clientCertificate
        : { id: clientCertificate.hash, cert: clientCertificate.cert, key: clientCertificate.key },
  });
}

function fault(text: string): TlsOutcome {
  return { ok: false, fault: text };
}
