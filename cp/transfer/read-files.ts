/** Declarative files: one, or all of a folder. */
import { open, readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { JsonObject } from '#shared/schema/field.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import { readYaml } from '../declarative/yaml.ts';
import type { SourceDocument } from './document.ts';
import { SourceError } from './settings.ts';
import { renderTemplate } from './template.ts';

/** All files of one import together, in bytes: what `/config` takes. */
export const SOURCE_BYTES_MAX = 128 * 1024 * 1024;
export const FILES_MAX = 2_000;

const EXTENSIONS = new Set(['.yaml', '.yml', '.json']);

type Env = Readonly<Record<string, string | undefined>>;

/**
 * @param path  a file, or a folder whose `.yaml`, `.yml` and `.json` files (those in folders below
 *   as well) make one configuration
 * @throws SourceError naming the file
 */
export async function readFiles(path: string, env: Env): Promise<SourceDocument[]> {
  const files = await filesAt(path);
  if (files.length === 0) throw new SourceError(`${path}: no .yaml, .yml or .json file in there`);
  const documents: SourceDocument[] = [];
  let left = SOURCE_BYTES_MAX;
  for (const file of files) {
    const text = await readText(file, left);
    left -= Buffer.byteLength(text);
    const content = parseDocument(text, file, env);
    if (content !== null) documents.push({ label: file, content, isLive: false });
  }
  if (documents.length === 0) throw new SourceError(`${path}: nothing in there`);
  return documents;
}

async function filesAt(path: string): Promise<string[]> {
  const info = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (!info.isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && EXTENSIONS.has(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  if (files.length > FILES_MAX) {
    throw new SourceError(`${path}: ${files.length} files; allowed: ${FILES_MAX}`);
  }
  return files;
}

async function readText(path: string, bytesMax: number): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > bytesMax) {
        throw new SourceError(`${path}: too large; allowed: ${SOURCE_BYTES_MAX} bytes in all`);
      }
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof SourceError ? error : unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): SourceError {
  const reason = error instanceof Error ? error.message : String(error);
  return new SourceError(`${path}: cannot read it, ${reason}`);
}

/** Null: nothing but comments. @throws SourceError */
export function parseDocument(text: string, label: string, env: Env): JsonObject | null {
  const result = readYaml(renderTemplate(text, label, env));
  if (!result.ok) throw new SourceError(`${label}: ${placeOnly(result.error)}`);
  const { value } = result;
  if (value === null || value === undefined) return null;
  if (!isPlainObject(value)) throw new SourceError(`${label}: expected a map at the top`);
  // What the core schema of YAML yields is JSON, but for numbers that fields refuse (.nan, .inf).
  return value as JsonObject;
}

/** What follows the place shows the text there, which may be a secret. */
function placeOnly(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/:$/, '');
}
