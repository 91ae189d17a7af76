/**
 * CA certificates: exactly one, of an authority, in force; and none that something still refers to.
 *
 * Source of the texts: Kong `kong/db/schema/entities/ca_certificates.lua`, `kong/db/dao/ca_certificates.lua`
 */
import { must } from '#shared/base/assert.ts';
import type { Violations } from '#shared/schema/violations.ts';
import { AdminError } from '../admin/errors.ts';
import { countCertificates, parseCertificate } from './pem.ts';
import type { EntityRules, RuleContext } from './rules.ts';

export const caCertificateRules: EntityRules = {
  check: (entity) => violationsOf(String(entity['cert'])),

  derive: (entity) => {
    const certificate = must(parseCertificate(String(entity['cert'])), 'it was checked');
    const digest = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    return { ...entity, cert_digest: digest };
  },

  beforeRemove: async ({ id }, tx, { registry }: RuleContext) => {
    for (const [kind, path] of [
      ['services', ['ca_certificates']],
      ['plugins', ['config', 'ca_certificates']],
    ] as const) {
      const definition = must(registry.entities.get(kind), kind);
      const by = await tx.findHolder(definition, path, id);
      if (by === null) continue;
      const message = `ca certificate ${id} is still referenced by ${kind} (id = ${by})`;
      throw new AdminError(400, { code: 19, name: 'referenced by others', message });
    }
  },
};

function violationsOf(text: string): Violations | null {
  const certificate = parseCertificate(text);
  if (certificate === null) {
    return { cert: 'invalid certificate: it cannot be read as a certificate in PEM form' };
  }
  const error = whole(text, certificate.validToDate, certificate.ca);
  return error === null ? null : { '@entity': [error] };
}

function whole(text: string, end: Date, isAuthority: boolean): string | null {
  if (countCertificates(text) > 1) return 'please submit only one certificate at a time';
  if (end.getTime() < Date.now()) return 'certificate expired, "Not After" time is in the past';
  if (isAuthority) return null;
  return 'certificate does not appear to be a CA because it is missing the "CA" basic constraint';
}
