/**
 * Certificates, the names that they are served under, and the authorities that others are verified
 * against. A name that leads to a certificate which cannot be served is closed: it gets no other one.
 */
import { PersistentMap } from '../base/persistent-map.ts';
import type { Sliced } from '../base/slices.ts';
import type { ConfigRecord } from '../config/record.ts';
import { type Changes, foreignId } from './changes.ts';
import type { QuarantineEdit } from './quarantine.ts';
import { scopedKey } from './tables.ts';
import { UniqueMap } from './unique-map.ts';

/** A certificate with its key. The same object from tables to tables while nothing of it changes. */
export interface CertificateTable {
  /** Another one whenever certificate or key is another one. */
  readonly hash: string;
  /** PEM, leaf first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** A second pair, with a key of another type; null for none. */
  readonly alt: { readonly cert: string; readonly key: string } | null;
  /** Why it cannot be served; null when it can. */
  readonly fault: string | null;
}

/** Where a name leads. */
interface Name {
  /** `scopedKey` of the SNI: names of all workspaces lie side by side. */
  readonly id: string;
  /** `scopedKey` of the certificate; null when the SNI names none. */
  readonly certificate: string | null;
}

/** What the runtime's TLS has against a certificate; null when it can serve it. */
export type CertificateFault = (certificate: CertificateTable) => string | null;

const DEFAULT_NAME = '*';

const MISSING: CertificateTable = {
  hash: '',
  cert: '',
  key: '',
  alt: null,
  fault: 'its certificate is missing, or cannot be used here',
};

/** Kept from tables to tables. */
export class Certificates {
  /** By `scopedKey(ws, id)`. */
  readonly #byId: PersistentMap<CertificateTable>;
  /** By name in lower case: a handshake knows no workspace. */
  readonly #names: UniqueMap<Name>;
  /** PEM of authorities by id. */
  readonly #authorities: PersistentMap<string>;

  private constructor(
    byId: PersistentMap<CertificateTable>,
    names: UniqueMap<Name>,
    authorities: PersistentMap<string>,
  ) {
    this.#byId = byId;
    this.#names = names;
    this.#authorities = authorities;
  }

  static readonly NONE = new Certificates(
    PersistentMap.empty(),
    UniqueMap.empty(),
    PersistentMap.empty(),
  );

  /** @param faultOf  null: this runtime serves none */
  *next(
    changes: Changes,
    faultOf: CertificateFault | null,
    quarantine: QuarantineEdit,
  ): Sliced<Certificates> {
    const kinds = ['certificates', 'snis', 'ca_certificates'];
    if (!kinds.some((kind) => changes.has(kind))) return this;
    const byId = this.#byId.edit();
    for (const record of changes.removed('certificates')) {
      yield;
      byId.delete(scopedKey(record.ws, record.id));
      quarantine.set(record, null);
    }
    for (const record of changes.added('certificates')) {
      yield;
      const table = certificateOf(record, faultOf);
      byId.set(scopedKey(record.ws, record.id), table);
      quarantine.set(record, table.fault);
    }
    const authorities = this.#authorities.edit();
    for (const { id } of changes.removed('ca_certificates')) authorities.delete(id);
    for (const { id, body } of changes.added('ca_certificates')) {
      authorities.set(id, String(body['cert']));
    }
    const names = yield* this.#names.withSliced(
      changes.removed('snis').map(nameOf),
      changes.added('snis').map(nameOf),
    );
    return new Certificates(byId.done(), names, authorities.done());
  }

  /**
   * Whose name it is that a client asks for; null: nobody's, and the default certificate is served.
   * One with a `fault` must not be served, and neither must another one in its place.
   *
   * Source: kong/runloop/certificate.lua
   */
  find(serverName: string): CertificateTable | null {
    if (this.#names.size === 0) return null;
    const name = serverName.toLowerCase();
    const found =
      this.#names.get(name) ??
      this.#firstOf(leftmostWild(name)) ??
      this.#firstOf(rightmostWild(name)) ??
      this.#names.get(DEFAULT_NAME);
    if (found === undefined) return null;
    return (found.certificate === null ? null : this.#byId.get(found.certificate)) ?? MISSING;
  }

  /** By its entity's id; null when it is missing, or was set aside. */
  get(ws: string, id: string): CertificateTable | null {
    return this.#byId.get(scopedKey(ws, id)) ?? null;
  }

  /** PEM of an authority; null when there is none of this id. */
  authority(id: string): string | null {
    return this.#authorities.get(id) ?? null;
  }

  #firstOf(name: string | null): Name | undefined {
    return name === null ? undefined : this.#names.get(name);
  }
}

/** `*.b.c` for `a.b.c`; a name of two labels is under no such name. */
function leftmostWild(name: string): string | null {
  const first = name.indexOf('.');
  const second = name.indexOf('.', first + 1);
  return first <= 0 || second <= first + 1 || second === name.length - 1
    ? null
    : `*${name.slice(first)}`;
}

/** `a.b.*` for `a.b.c`. */
function rightmostWild(name: string): string | null {
  const last = name.lastIndexOf('.');
  return last <= 0 || last === name.length - 1 ? null : `${name.slice(0, last)}.*`;
}

function nameOf(record: ConfigRecord): readonly [string, Name] {
  const certificate = foreignId(record, 'certificate');
  const key = certificate === null ? null : scopedKey(record.ws, certificate);
  const id = scopedKey(record.ws, record.id);
  return [String(record.body['name']).toLowerCase(), { id, certificate: key }];
}

function certificateOf(record: ConfigRecord, faultOf: CertificateFault | null): CertificateTable {
  const { cert, key, cert_alt: certAlt, key_alt: keyAlt } = record.body;
  const table: CertificateTable = {
    hash: record.hash,
    cert: textOf(cert),
    key: textOf(key),
    alt: certAlt && keyAlt ? { cert: textOf(certAlt), key: textOf(keyAlt) } : null,
    fault: null,
  };
  const fault = unresolved([cert, key, certAlt, keyAlt]) ?? faultOf?.(table) ?? null;
  return fault === null ? table : { ...table, fault };
}

/** References to vaults are looked up by nobody yet. */
function unresolved(values: readonly unknown[]): string | null {
  const isReference = values.some((value) => textOf(value).startsWith('{vault:'));
  return isReference ? 'references to vaults are not resolved yet' : null;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
