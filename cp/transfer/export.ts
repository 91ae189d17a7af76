/** `headgate export`: read a workspace, write a file. */
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { PRIVATE_FILE_MODE, writeFileAtomic } from '#shared/platform/node/files.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { HIDDEN } from '../admin/hidden-secrets.ts';
import { AdminApi } from './admin-client.ts';
import { deckFile } from './deck-file.ts';
import { isObject, textOf } from './document.ts';
import type { ExportOptions } from './options.ts';
import { readAdmin } from './read-admin.ts';
import { SourceError } from './settings.ts';

export interface Exported {
  readonly text: string;
  /** For a person. */
  readonly remarks: readonly string[];
}

/** @throws SourceError */
export async function runExport(options: ExportOptions, registry: Registry): Promise<Exported> {
  const { from, workspace, headers, ca, format, output } = options;
  const server = new AdminApi({ url: from, headers, ca });
  const api = workspace === null ? server : server.in(workspace);
  const { text, left } =
    format === 'kong' ? await kongText(api) : await deckText(api, registry, workspace);
  const remarks = left.map((what) => `left out, as decK's format has no place for it: ${what}`);
  if (text.includes(HIDDEN)) {
    remarks.push(`${api.address} hides its secrets: what has ${HIDDEN} in it cannot be loaded`);
  }
  if (output === null) return { text, remarks };
  const path = resolve(output);
  try {
    await writeFileAtomic(path, text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SourceError(`-o is '${output}': cannot write there, ${reason}`, { cause: error });
  }
  const mode = PRIVATE_FILE_MODE.toString(8).padStart(4, '0');
  remarks.push(`written to ${path} with mode ${mode}: it holds secrets`);
  return { text: '', remarks };
}

interface Text {
  readonly text: string;
  readonly left: readonly string[];
}

async function kongText(api: AdminApi): Promise<Text> {
  const answer = await api.get('/config');
  const text = isObject(answer) ? textOf(answer['config']) : null;
  if (text === null) throw new SourceError(`${api.address}: GET /config answered no text`);
  return { text, left: [] };
}

async function deckText(
  api: AdminApi,
  registry: Registry,
  workspace: string | null,
): Promise<Text> {
  const { content } = await readAdmin(api, registry);
  const { content: file, left } = deckFile(content, workspace);
  // Quoted where YAML 1.1, which decK reads, would see something else than a string.
  return { text: stringify(file, { version: '1.1', aliasDuplicateObjects: false }), left };
}
