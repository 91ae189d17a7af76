/** What the generated operations say of themselves; hand-written ones on entities say it too. */
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AnswerDocs, OperationDocs } from './operation-docs.ts';
import { many, oneOf, singular } from './words.ts';

/** The entity above in a nested path. */
export type Above = EntityDefinition | null;

/** Bodies are JSON or forms, and may be refused for their length and type. */
const BODY_ERRORS = [413, 415] as const;

export function listDocs(definition: EntityDefinition, above: Above): OperationDocs {
  const hasTags = above === null && Object.hasOwn(definition.fields, 'tags');
  return {
    tag: tagOf(definition),
    summary: `List ${above === null ? many(definition) : under(definition, above)}`,
    parameters: hasTags ? ['size', 'offset', 'tags'] : ['size', 'offset'],
    answer: { status: 200, body: { type: 'page', kind: definition.name } },
    errors: above === null ? [] : [404],
  };
}

export function createDocs(definition: EntityDefinition, above: Above): OperationDocs {
  return {
    tag: tagOf(definition),
    summary: `Add ${oneOf(definition)}${above === null ? '' : ` to ${oneOf(above)}`}`,
    parameters: ['dry_run'],
    body: { type: 'entity', kind: definition.name, use: 'given' },
    answer: entityAnswer(definition, 201),
    errors: [...(above === null ? [] : ([404] as const)), 409, ...BODY_ERRORS],
  };
}

export function getDocs(definition: EntityDefinition, above: Above): OperationDocs {
  return {
    tag: tagOf(definition),
    summary: `Show ${below(definition, above)}`,
    parameters: ['If-None-Match'],
    answer: {
      status: 200,
      body: { type: 'entity', kind: definition.name, use: 'shown' },
      headers: ['ETag'],
    },
    otherAnswers: [{ status: 304, description: 'It still has the `ETag` that was sent.' }],
    errors: [404],
  };
}

export function upsertDocs(definition: EntityDefinition, above: Above): OperationDocs {
  return {
    tag: tagOf(definition),
    summary: `Create or replace ${below(definition, above)}`,
    description: 'What is not sent takes its default, whatever it was before.',
    parameters: ['dry_run', 'If-Match', 'If-None-Match'],
    body: { type: 'entity', kind: definition.name, use: 'given' },
    answer: entityAnswer(definition, 200),
    errors: [404, 409, 412, ...BODY_ERRORS],
  };
}

export function updateDocs(definition: EntityDefinition, above: Above): OperationDocs {
  return {
    tag: tagOf(definition),
    summary: `Change ${below(definition, above)}`,
    description: 'Records are merged with what is there; anything else is replaced.',
    parameters: ['dry_run', 'If-Match'],
    body: { type: 'entity', kind: definition.name, use: 'changed' },
    answer: entityAnswer(definition, 200),
    errors: [404, 409, 412, ...BODY_ERRORS],
  };
}

export function removeDocs(definition: EntityDefinition, above: Above): OperationDocs {
  return {
    tag: tagOf(definition),
    summary: `Remove ${below(definition, above)}`,
    description:
      above === null
        ? 'Also 204 when there was none.'
        : 'What points to it goes or stays as defined.',
    parameters: ['dry_run', 'If-Match'],
    answer: { status: 204, headers: ['Headgate-Version'] },
    errors: [404, 412],
  };
}

/** Of what a foreign field points to: `/routes/{r}/service`. */
export function foreignDocs(
  child: EntityDefinition,
  target: EntityDefinition,
): Readonly<Record<'GET' | 'PUT' | 'PATCH' | 'DELETE', OperationDocs>> {
  const what = `the ${singular(target)} of ${oneOf(child)}`;
  return {
    GET: { ...getDocs(target, null), summary: `Show ${what}` },
    PUT: { ...upsertDocs(target, null), summary: `Create or replace ${what}` },
    PATCH: { ...updateDocs(target, null), summary: `Change ${what}` },
    DELETE: {
      tag: tagOf(target),
      summary: `Refused: ${what} is removed by its own path`,
      answer: null,
      errors: [404, 405],
    },
  };
}

export function tagOf(definition: EntityDefinition): string {
  return definition.admin_api_name ?? definition.name;
}

function under(definition: EntityDefinition, above: EntityDefinition): string {
  return `the ${many(definition)} of ${oneOf(above)}`;
}

function below(definition: EntityDefinition, above: Above): string {
  return `${oneOf(definition)}${above === null ? '' : ` of ${oneOf(above)}`}`;
}

function entityAnswer(definition: EntityDefinition, status: 200 | 201): AnswerDocs {
  return {
    status,
    body: { type: 'entity', kind: definition.name, use: 'shown' },
    headers: ['ETag', 'Headgate-Version'],
  };
}
