/**
 * The OpenAPI 3.1 document of the Admin API, read off the endpoints and the definitions: whatever
 * kind of entity or plugin is added, it is in here.
 */
import { assert, must } from '#shared/base/assert.ts';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { recordSchema } from '#shared/schema/to-json-schema.ts';
import { displayPath, type Endpoint, type Method } from '../context.ts';
import { tagOf } from './entity-docs.ts';
import { errorRefs, errorResponses } from './errors-docs.ts';
import { exampleOf } from './examples.ts';
import { handWrittenDocs } from './hand-written.ts';
import type { BodyDocs, ContentDocs, OperationDocs, Operations } from './operation-docs.ts';
import { PARAMETERS, pathParameter } from './parameters.ts';
import { componentSchemas, schemaRef } from './schemas.ts';

const JSON_TYPE = 'application/json';
const BODY_TYPES = [JSON_TYPE, 'application/x-www-form-urlencoded', 'multipart/form-data'];

const DESCRIPTION = [
  'The API of Kong Gateway 3.9, and what Headgate adds to it.\n',
  '- Every path also exists below the name of a workspace: `/{workspace}/services`. Without one, the',
  '  workspace is `default`.',
  '- Bodies are JSON or forms. In forms, `config.minute=5` names a member, `hosts[]=a` and `hosts[1]=a`',
  '  an element.',
  '- Whatever can be read by GET answers HEAD, and every path answers OPTIONS with its methods.',
  '- A write is one transaction: what is refused changes nothing. `Headgate-Version` on its answer is',
  '  the version of the workspace that it made.',
  '- With `?dry_run=true` everything is done and checked, then undone; the answer carries',
  '  `Headgate-Dry-Run: true`.',
  "- An entity's `ETag`, sent back as `If-Match`, keeps two writers from overwriting each other unseen.",
  '- With an `Idempotency-Key`, a write of entities whose answer was lost can be sent again within a day: it',
  '  is answered as it was (`Idempotency-Replayed: true`), and not done twice.',
  '- With `?wait=applied` a write is answered once the data planes serve it: `Headgate-Receipt` says whether',
  '  all do, `Headgate-Applied: 2/3` how many, `/headgate/receipts/{version}` which.',
  '- Collections come in pages: `next` is the path of the page that follows.',
].join('\n');

/** @throws AssertionError when an endpoint says nothing of itself: a bug */
export function openapiDocument(endpoints: readonly Endpoint[], registry: Registry): JsonObject {
  const paths = new Map<string, JsonObject>();
  const tags = new Set<string>();
  const handWritten = handWrittenDocs(registry.entities);
  for (const endpoint of endpoints) {
    const path = displayPath(endpoint);
    // Of two that match, the first one answers.
    if (paths.has(path)) continue;
    const docs = docsOf(endpoint, handWritten);
    for (const operation of Object.values(docs)) tags.add(operation.tag);
    paths.set(path, pathItem(endpoint, path, docs, registry));
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Headgate Admin API',
      version: HEADGATE_VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: '/' },
      { url: '/{workspace}', variables: { workspace: { default: 'default' } } },
    ],
    security: [{}, { token: [] }, { bearer: [] }],
    tags: [...new Set([...TAGS_FIRST, ...entityTags(registry), ...tags])]
      .filter((name) => tags.has(name))
      .map((name) => ({ name })),
    paths: Object.fromEntries(paths),
    components: components(registry),
  };
}

/** What everybody begins with. */
const TAGS_FIRST = ['services', 'routes', 'consumers', 'plugins', 'upstreams', 'targets'];

function entityTags({ entities }: Registry): string[] {
  return [...entities.values()].map(tagOf);
}

/** What is said of each of an endpoint's methods, by itself or in the table. */
export function docsOf(
  endpoint: Endpoint,
  handWritten: Readonly<Record<string, Operations>>,
): Operations {
  return endpoint.docs ?? handWritten[displayPath(endpoint)] ?? {};
}

function components(registry: Registry): JsonObject {
  return {
    schemas: componentSchemas(registry),
    responses: errorResponses(),
    parameters: PARAMETERS,
    headers: {
      ETag: { description: 'Of the entity as it is now.', schema: { type: 'string' } },
      'Headgate-Version': {
        description: 'Version of the workspace that the write made.',
        schema: { type: 'integer' },
      },
    },
    securitySchemes: {
      token: { type: 'apiKey', in: 'header', name: 'Kong-Admin-Token' },
      bearer: { type: 'http', scheme: 'bearer' },
    },
  };
}

function pathItem(
  endpoint: Endpoint,
  path: string,
  docs: Operations,
  registry: Registry,
): JsonObject {
  const parameters = (endpoint.parameters ?? []).map((name) =>
    must(pathParameter(name, registry.entities), `${path} says what {${name}} is`),
  );
  const operations = Object.keys(endpoint.methods).map((name): [string, JsonValue] => {
    // Methods are the keys of an endpoint's handlers.
    const method = name as Method;
    const operation = docs[method];
    assert(operation !== undefined, `${method} ${path} says what it does`);
    const operationId = idOf(method, path);
    return [name.toLowerCase(), { operationId, ...operationObject(operation, registry) }];
  });
  return { ...(parameters.length === 0 ? {} : { parameters }), ...Object.fromEntries(operations) };
}

const OF_WRITES = ['wait', 'timeout', 'Idempotency-Key'] as const;

/** `get-services-by-services-routes` */
function idOf(method: string, path: string): string {
  const words = path.replaceAll('{', 'by-').match(/[A-Za-z0-9]+/g) ?? ['root'];
  return [method.toLowerCase(), ...words].join('-');
}

function operationObject(docs: OperationDocs, registry: Registry): JsonObject {
  const { tag, summary, description, parameters = [], body, errors = [] } = docs;
  // What can be tried can be repeated and waited for: all of it is about the one transaction of a write.
  const isWrite = parameters.includes('dry_run');
  const all = isWrite ? [...parameters, ...OF_WRITES] : parameters;
  const listed = all.map((parameter): JsonValue => {
    if (typeof parameter === 'string') return { $ref: `#/components/parameters/${parameter}` };
    const { schema, ...facts } = parameter;
    return Object.fromEntries([...Object.entries(facts), ['schema', schema]]);
  });
  return {
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(listed.length === 0 ? {} : { parameters: listed }),
    ...(body === undefined ? {} : { requestBody: requestBody(body, registry) }),
    responses: { ...success(docs, registry), ...errorRefs(isWrite ? [...errors, 422] : errors) },
  };
}

const FINE: Readonly<Record<number, string>> = { 200: 'Fine.', 201: 'Made.', 204: 'Done.' };

function success({ answer, otherAnswers = [] }: OperationDocs, registry: Registry): JsonObject {
  const all = answer === null ? [] : [answer, ...otherAnswers];
  const entries = all.map(({ status, body, description, headers = [] }) => {
    const listed = headers.map((name) => [name, { $ref: `#/components/headers/${name}` }] as const);
    const response = {
      description: description ?? FINE[status] ?? '',
      ...(listed.length === 0 ? {} : { headers: Object.fromEntries(listed) }),
      ...(body === undefined ? {} : { content: contentOf(body, [JSON_TYPE], registry) }),
    };
    return [status, response] as const;
  });
  return Object.fromEntries(entries);
}

function requestBody(body: BodyDocs, registry: Registry): JsonObject {
  const { description, optional, example } = body;
  const types = body.type === 'entity' || body.type === 'record' ? BODY_TYPES : [JSON_TYPE];
  const content = contentOf(body, types, registry);
  const shown = example ?? (body.type === 'entity' ? exampleOf(body.kind, body.use) : null);
  const json = content[JSON_TYPE];
  return {
    ...(description === undefined ? {} : { description }),
    ...(optional === true ? {} : { required: true }),
    content:
      shown === null || json === undefined
        ? content
        : { ...content, [JSON_TYPE]: { ...(json as JsonObject), example: shown } },
  };
}

function contentOf(body: ContentDocs, types: readonly string[], registry: Registry): JsonObject {
  const own = 'mediaTypes' in body ? (body.mediaTypes ?? types) : types;
  const schema = contentSchema(body, registry);
  return Object.fromEntries(own.map((type) => [type, { schema }]));
}

function contentSchema(body: ContentDocs, { entities }: Registry): JsonObject {
  switch (body.type) {
    case 'entity':
      return schemaRef(body.kind, body.use);
    case 'page':
      return {
        type: 'object',
        required: ['data', 'next'],
        properties: {
          data: { type: 'array', items: schemaRef(body.kind, 'shown') },
          next: {
            type: ['string', 'null'],
            description: 'Path and query of the page that follows.',
          },
          offset: { type: 'string' },
        },
      };
    case 'record':
      return recordSchema({ fields: body.fields }, undefined, { use: 'given', entities });
    default:
      return body.schema;
  }
}
