/**
 * `/schemas/*`: the definitions in Kong's JSON form, for clients that fill in defaults, and the
 * question whether an entity would be valid.
 */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import { subschemaToKongSchema, toKongSchema } from '#shared/schema/to-kong-schema.ts';
import { must } from '#shared/base/assert.ts';
import { processInsert } from '#shared/schema/process.ts';
import { rulesOf } from '../../rules/rules.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { readEntity } from '../crud.ts';
import { AdminError, schemaViolation } from '../errors.ts';
import { ruleContext } from '../writer.ts';

export function schemaEndpoints(): Endpoint[] {
  return [...validations(), ...definitions()];
}

function validations(): Endpoint[] {
  return [
    ...['plugins', 'vaults'].map((kind): Endpoint => ({
      path: `/schemas/${kind}/validate`,
      area: 'info',
      methods: { POST: (context, request) => validate(context, request, kind) },
    })),
    {
      path: '/schemas/:0/validate',
      area: 'info',
      parameters: ['db_entity_name'],
      methods: {
        POST: (context, request) => validate(context, request, request.params[0] ?? ''),
      },
    },
  ];
}

function definitions(): Endpoint[] {
  const shown = (
    path: string,
    show: (context: AdminContext, name: string) => JsonObject,
  ): Endpoint => ({
    path,
    area: 'info',
    parameters: ['name'],
    methods: {
      GET: (context: AdminContext, { params: [name = ''] }: AdminRequest) => ({
        status: 200,
        body: show(context, name),
      }),
    },
  });
  return [
    shown('/schemas/:0', (context, name) => toKongSchema(entityNamed(context, name))),
    shown('/schemas/plugins/:0', (context, name) =>
      subschemaToKongSchema(pluginNamed(context, name)),
    ),
    shown('/schemas/vaults/:0', (context, name) =>
      subschemaToKongSchema(vaultNamed(context, name)),
    ),
    shown('/schemas/filters/:0', (_, name) => {
      // Of WebAssembly, which no data plane runs.
      throw new AdminError(404, { message: `Filter '${name}' not found` });
    }),
    // Deprecated in Kong, and still what go-kong asks: the configuration's fields alone.
    shown('/plugins/schema/:0', (context, name) =>
      configSchema(subschemaToKongSchema(pluginNamed(context, name))),
    ),
  ];
}

function entityNamed({ registry }: AdminContext, name: string): EntityDefinition {
  const definition = registry.entities.get(name);
  if (!definition) throw new AdminError(404, { message: `No entity named '${name}'` });
  return definition;
}

function pluginNamed({ registry }: AdminContext, name: string) {
  const definition = registry.plugins.get(name);
  if (!definition) throw new AdminError(404, { message: `No plugin named '${name}'` });
  return definition;
}

function vaultNamed({ registry }: AdminContext, name: string) {
  const kinds = registry.entities.get('vaults')?.subschemas ?? {};
  const definition = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (!definition) throw new AdminError(404, { message: `No vault named '${name}'` });
  return definition;
}

function configSchema(schema: JsonObject): JsonObject {
  const fields = schema['fields'] as readonly JsonObject[];
  const config = fields.find((field) => Object.hasOwn(field, 'config'))?.['config'] as JsonObject;
  const members = must(config['fields'], 'a configuration has fields');
  return { fields: members, entity_checks: config['entity_checks'] ?? [] };
}

/** Defaults are filled in first; neither uniqueness nor other rows are looked at. */
async function validate(
  context: AdminContext,
  request: AdminRequest,
  name: string,
): Promise<AdminResponse> {
  const definition = entityNamed(context, name);
  const input = await readEntity(context, request, definition, null);
  const processed = processInsert(definition, input, context.registry, context.processDeps());
  if (!processed.ok) throw schemaViolation(processed.violations);
  const rules = rulesOf(definition.name);
  const violations = rules.check?.(processed.entity, ruleContext(context, request.workspace));
  if (violations) throw schemaViolation(violations);
  return { status: 200, body: { message: 'schema validation successful' } };
}
