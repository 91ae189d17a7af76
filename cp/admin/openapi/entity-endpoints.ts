/** What the hand-written endpoints on certificates, groups of consumers, tags and filters say. */
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import {
  createDocs,
  getDocs,
  listDocs,
  removeDocs,
  updateDocs,
  upsertDocs,
} from './entity-docs.ts';
import type { OperationDocs, Operations } from './operation-docs.ts';

type Entities = ReadonlyMap<string, EntityDefinition>;

export function entityEndpointDocs(entities: Entities): Readonly<Record<string, Operations>> {
  return {
    ...certificateDocs(entities),
    ...aclDocs(entities),
    ...tagDocs(),
    ...filterChainDocs(),
  };
}

function certificateDocs(entities: Entities): Readonly<Record<string, Operations>> {
  const certificates = must(entities.get('certificates'), 'certificates are defined');
  const snis = must(entities.get('snis'), 'snis are defined');
  const byName = 'By id, or by the name of any of its SNIs.';
  return {
    '/certificates/{certificates}': {
      GET: { ...getDocs(certificates, null), description: byName },
      PUT: {
        ...upsertDocs(certificates, null),
        description: `${byName} A name that there is not yet becomes one of its SNIs; those that are not sent go.`,
      },
      PATCH: updateDocs(certificates, null),
      DELETE: { ...removeDocs(certificates, null), description: 'Its SNIs go with it.' },
    },
    '/certificates/{certificates}/snis': {
      GET: listDocs(snis, certificates),
      POST: createDocs(snis, certificates),
    },
    '/certificates/{certificates}/snis/{snis}': one(snis, certificates),
  };
}

function aclDocs(entities: Entities): Readonly<Record<string, Operations>> {
  const acls = must(entities.get('acls'), 'acls are defined');
  const consumers = must(entities.get('consumers'), 'consumers are defined');
  const docs = one(acls, consumers);
  const description = 'By id, or by the name of the group.';
  return {
    '/consumers/{consumers}/acls/{acls}': {
      ...docs,
      GET: { ...docs.GET, description },
      PUT: { ...docs.PUT, description: `${description} A consumer who is not in it gets in.` },
    },
  };
}

function one(definition: EntityDefinition, above: EntityDefinition) {
  return {
    GET: getDocs(definition, above),
    PUT: upsertDocs(definition, above),
    PATCH: updateDocs(definition, above),
    DELETE: removeDocs(definition, above),
  };
}

function tagDocs(): Readonly<Record<string, Operations>> {
  const list: Omit<OperationDocs, 'summary'> = {
    tag: 'tags',
    parameters: ['size', 'offset'],
    answer: { status: 200, body: { type: 'page', kind: 'tags' } },
  };
  const refused: OperationDocs = {
    tag: 'tags',
    summary: 'Refused: tags are written with the entities that carry them',
    answer: null,
  };
  return {
    '/tags': {
      GET: { ...list, summary: 'List the tags of all entities, one row for each' },
      POST: refused,
    },
    '/tags/{tags}': {
      GET: { ...list, summary: 'List what carries a tag' },
      PUT: refused,
      PATCH: refused,
      DELETE: refused,
    },
  };
}

function filterChainDocs(): Readonly<Record<string, Operations>> {
  const off: OperationDocs = {
    tag: 'filter-chains',
    summary: 'Refused: no data plane runs WebAssembly filters',
    answer: null,
  };
  const all = { GET: off, POST: off, PUT: off, PATCH: off, DELETE: off };
  return {
    '/filter-chains': all,
    '/filter-chains/{filter_chains}': all,
    '/filter-chains/{filter_chains}/route': all,
    '/filter-chains/{filter_chains}/service': all,
    '/routes/{routes}/filter-chains': all,
    '/routes/{routes}/filter-chains/{filter_chains}': all,
    '/services/{services}/filter-chains': all,
    '/services/{services}/filter-chains/{filter_chains}': all,
    '/routes/{routes}/filters/all': { GET: off },
    '/routes/{routes}/filters/disabled': { GET: off },
    '/routes/{routes}/filters/enabled': { GET: off },
  };
}
