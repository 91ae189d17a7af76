/** `GET /config`: a workspace as a declarative configuration that can be loaded again. */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { completeEntity, secondsLeft } from '#shared/schema/process.ts';
import type { AdminContext } from '../admin/context.ts';
import { hideSecrets } from '../admin/hidden-secrets.ts';
import { foreignId } from '../store/sql.ts';
import type { Page, Reader } from '../store/store.ts';
import { declarableKinds } from './kinds.ts';
import { yamlItems, yamlMembers } from './yaml-text.ts';

const PAGE_SIZE = 1000;
const HEAD = { _format_version: '3.0', _transform: false };

/**
 * As YAML, kinds in order of foreign keys, entities in order of id, of one moment. Entities are read
 * and written page by page; only the text is held as a whole.
 *
 * @param isReadable  kinds that whoever asks may read
 * @throws StoreError
 */
export async function exportText(
  context: AdminContext,
  ws: string,
  isReadable: (definition: EntityDefinition) => boolean,
): Promise<string> {
  const { store, registry } = context;
  const parts = [yamlMembers(HEAD, 0)];
  await store.db.tx(
    async (db) => {
      const reader = store.reader(db);
      for (const definition of declarableKinds(registry.entities).filter(isReadable)) {
        await exportKind(context, ws, definition, reader, parts);
      }
    },
    { isolation: 'repeatable read' },
  );
  return parts.join('');
}

async function exportKind(
  context: AdminContext,
  ws: string,
  definition: EntityDefinition,
  reader: Reader,
  parts: string[],
): Promise<void> {
  let after: string | null = null;
  do {
    const page: Page = await reader.list(definition, ws, { size: PAGE_SIZE, after });
    if (page.rows.length === 0) return;
    if (after === null) parts.push(`${definition.name}:\n`);
    const rows = page.rows.map((row) => exported(context, definition, row));
    parts.push(yamlItems(rows, 1));
    after = page.next;
  } while (after !== null);
}

/** As it is stored, with references by id; what is only shown of it is left out. */
function exported(
  context: AdminContext,
  definition: EntityDefinition,
  entity: AnyEntity,
): JsonObject {
  const { registry, secretsWriteOnly } = context;
  const row = secretsWriteOnly ? hideSecrets(definition, entity, registry) : entity;
  const { expires_at: expiresAt = null, ...complete } = completeEntity(definition, row, registry);
  const entries = Object.entries(complete).flatMap(([name, value]): [string, JsonValue][] => {
    const field = definition.fields[name];
    if (field?.transient === true) return [];
    return [[name, field?.type === 'foreign' ? foreignId(value) : value]];
  });
  if (definition.ttl === true) {
    entries.push(['ttl', secondsLeft(expiresAt, context.processDeps().nowSeconds)]);
  }
  return Object.fromEntries(entries);
}
