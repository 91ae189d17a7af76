/** Entities as the API shows them. */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { showEntity } from '#shared/schema/process.ts';
import { rulesOf } from '../rules/rules.ts';
import type { Reader } from '../store/store.ts';
import type { AdminContext } from './context.ts';
import { ruleContext } from './writer.ts';

/** In order; what is stored elsewhere is read for all at once. */
export async function showAll(
  context: AdminContext,
  ws: string,
  definition: EntityDefinition,
  entities: readonly AnyEntity[],
  reader: Reader,
): Promise<JsonObject[]> {
  const { complete } = rulesOf(definition.name);
  const rows =
    complete === undefined ? entities : await complete(entities, reader, ruleContext(context, ws));
  const { nowSeconds } = context.processDeps();
  return rows.map((row) => showEntity(definition, row, context.registry, nowSeconds));
}
