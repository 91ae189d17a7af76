/** Entities as the API shows them. */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { showEntity } from '#shared/schema/process.ts';
import { rulesOf } from '../rules/rules.ts';
import type { AdminContext } from './context.ts';
import { hideSecrets } from './hidden-secrets.ts';
import { type EntityWriter, ruleContext } from './writer.ts';

/**
 * In order; what is stored elsewhere is read for all at once.
 *
 * @param writer  inside a transaction: reads through it, and secrets of what it made are shown
 */
export async function showAll(
  context: AdminContext,
  ws: string,
  definition: EntityDefinition,
  entities: readonly AnyEntity[],
  writer: EntityWriter | null,
): Promise<JsonObject[]> {
  const { registry, secretsWriteOnly, store } = context;
  const { complete } = rulesOf(definition.name);
  const reader = writer?.tx ?? store;
  const rows =
    complete === undefined ? entities : await complete(entities, reader, ruleContext(context, ws));
  const { nowSeconds } = context.processDeps();
  return rows.map((row) => {
    const isHidden = secretsWriteOnly && writer?.hasMade(row.id) !== true;
    const shown = isHidden ? hideSecrets(definition, row, registry) : row;
    return showEntity(definition, shown, registry, nowSeconds);
  });
}
