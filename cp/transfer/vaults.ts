/** Vaults and references to them: only environment variables can be referred to. */
import { isReference } from '#shared/schema/attributes.ts';
import { HIDDEN } from '../admin/hidden-secrets.ts';
import { type Item, textOf } from './document.ts';
import { strings } from './leaves.ts';

const ENV = 'env';

export function judgeVault(item: Item): void {
  const name = textOf(item.entity['name']);
  if (name === null || name === ENV) return;
  item.reasons.push(`vault '${name}': there is only '${ENV}', the environment of the data plane`);
}

/** @param vaults  prefix → the source's vault of that prefix */
export function judgeReferences(item: Item, vaults: ReadonlyMap<string, Item>): void {
  let isResolved = true;
  for (const [path, text] of strings(item.entity)) {
    if (text === HIDDEN) item.reasons.push(`${path}: the source hides this secret`);
    if (!isReference(text)) continue;
    const [, prefix = ''] = /^\{vault:\/\/([^/}]+)/.exec(text) ?? [];
    const kind = prefix === ENV ? ENV : textOf(vaults.get(prefix)?.entity['name']);
    if (kind === ENV) {
      isResolved = false;
    } else if (kind === null) {
      item.reasons.push(`${path}: ${text} refers to a vault that is not in the source`);
    } else {
      item.reasons.push(`${path}: ${text} refers to a vault '${kind}'; there is only '${ENV}'`);
    }
  }
  if (!isResolved) {
    item.notes.push(
      'its references to vaults are kept as they are; no data plane resolves any yet',
    );
  }
}
