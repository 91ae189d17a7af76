/**
 * Certificates: that they are some, that their keys fit, and the list `snis`, which stands for
 * entities of its own.
 *
 * Source of the texts: Kong `kong/db/schema/entities/certificates.lua`, `kong/db/dao/certificates.lua`
 */
import { randomUUID, type KeyObject, type X509Certificate } from 'node:crypto';
import { assert, must } from '#shared/base/assert.ts';
import { isReference } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { processInsert } from '#shared/schema/process.ts';
import type { Violations } from '#shared/schema/violations.ts';
import { foreignId } from '../store/sql.ts';
import type { Page, Reader } from '../store/store.ts';
import { parseCertificate, parsePrivateKey } from './pem.ts';
import type { EntityRules, RuleContext } from './rules.ts';

const PAGE_SIZE = 1000;

/** Names in one list: each is a row that is read and written. */
export const SNIS_MAX = 1000;

export const certificateRules: EntityRules = {
  check: (entity) => pemViolations(entity),

  checkRelations: async (entity, { given }, tx, context) => {
    const names = namesOf(given['snis']);
    if (names === null) return null;
    if (names.length > SNIS_MAX) {
      return { snis: `at most ${SNIS_MAX} names at once; more can be added as SNIs` };
    }
    const seen = new Set<string>();
    for (const name of names) {
      if (seen.has(name)) return { snis: `${name} is duplicated` };
      seen.add(name);
    }
    const found = await tx.getManyBy(snis(context), context.ws, 'name', names);
    for (const name of names) {
      const owner = foreignId(found.get(name)?.['certificate']);
      if (owner === null || owner === entity.id) continue;
      return { snis: `${name} already associated with existing certificate '${owner}'` };
    }
    return null;
  },

  afterWrite: async (entity, { given, isMerge }, tx, context) => {
    // What is written anew has no names but those that were sent.
    const names = namesOf(given['snis']) ?? (isMerge ? null : []);
    if (names === null) return;
    const definition = snis(context);
    const present = new Set<string>();
    for (const sni of await snisOf(tx, context, [entity.id])) {
      const name = String(sni['name']);
      if (names.includes(name)) present.add(name);
      else await tx.remove(definition, context.ws, sni.id);
    }
    for (const name of names.filter((candidate) => !present.has(candidate))) {
      await tx.insert(definition, context.ws, newSni(name, entity, context));
    }
  },

  beforeRemove: async (entity, tx, context) => {
    for (const { id } of await snisOf(tx, context, [entity.id])) {
      await tx.remove(snis(context), context.ws, id);
    }
  },

  complete: async (entities, reader, context) => {
    const names = new Map<string, string[]>(entities.map(({ id }) => [id, []]));
    const ids = entities.map(({ id }) => id);
    for (const sni of await snisOf(reader, context, ids)) {
      names.get(foreignId(sni['certificate']) ?? '')?.push(String(sni['name']));
    }
    return entities.map((entity) => ({
      ...entity,
      snis: (names.get(entity.id) ?? []).toSorted(),
    }));
  },
};

interface Side {
  readonly cert: X509Certificate | null;
  readonly key: KeyObject | null;
}

function pemViolations(entity: AnyEntity): Violations | null {
  const errors: Record<string, JsonValue> = {};
  const main = readSide(entity, ['cert', 'key'], errors);
  const alternative = readSide(entity, ['cert_alt', 'key_alt'], errors);
  if (Object.keys(errors).length > 0) return errors;
  const texts: string[] = [];
  if (!fits(main)) texts.push('certificate does not match key');
  if (!fits(alternative)) texts.push('alternative certificate does not match key');
  const type = main.cert?.publicKey.asymmetricKeyType;
  if (type !== undefined && type === alternative.cert?.publicKey.asymmetricKeyType) {
    texts.push(
      'certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), ' +
        'the provided certificates were both of the same type',
    );
  }
  return texts.length === 0 ? null : { '@entity': texts };
}

/** A vault reference is resolved where it is used: nothing can be said of it here. */
function readSide(
  entity: AnyEntity,
  [certName, keyName]: readonly [string, string],
  errors: Record<string, JsonValue>,
): Side {
  const text = (name: string): string | null => {
    const value = entity[name];
    return typeof value !== 'string' || isReference(value) ? null : value;
  };
  const [certText, keyText] = [text(certName), text(keyName)];
  const cert = certText === null ? null : parseCertificate(certText);
  const key = keyText === null ? null : parsePrivateKey(keyText);
  if (certText !== null && cert === null) {
    errors[certName] = 'invalid certificate: it cannot be read as a certificate in PEM form';
  }
  if (keyText !== null && key === null) {
    errors[keyName] = 'invalid key: it cannot be read as an unencrypted private key in PEM form';
  }
  return { cert, key };
}

function fits({ cert, key }: Side): boolean {
  return cert === null || key === null || cert.checkPrivateKey(key);
}

/** Null: the list was not sent. */
function namesOf(list: JsonValue | undefined): readonly string[] | null {
  if (list === undefined) return null;
  // The schema has accepted the entity, and with it this list.
  return Array.isArray(list) ? list.map(String) : [];
}

async function snisOf(
  reader: Reader,
  context: RuleContext,
  certificates: readonly string[],
): Promise<AnyEntity[]> {
  if (certificates.length === 0) return [];
  const found: AnyEntity[] = [];
  const where = { field: 'certificate', id: certificates };
  let after: string | null = null;
  do {
    const page: Page = await reader.list(snis(context), context.ws, {
      size: PAGE_SIZE,
      after,
      where,
    });
    found.push(...page.rows);
    after = page.next;
  } while (after !== null);
  return found;
}

function newSni(name: string, certificate: AnyEntity, { registry, ...context }: RuleContext) {
  const input: JsonObject = { name, certificate: { id: certificate.id } };
  const processed = processInsert(snis({ registry, ...context }), input, registry, {
    nowSeconds: Number(certificate['updated_at']),
    uuid: randomUUID,
    randomText: () => '',
  });
  assert(processed.ok, 'a name that the certificate may have is one that an SNI may have');
  return processed.entity;
}

function snis({ registry }: RuleContext): EntityDefinition {
  return must(registry.entities.get('snis'), 'snis are defined');
}
