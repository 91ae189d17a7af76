/** Declarative files: one, all of a folder, or standard input. */
import { open, readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { type CollectionTag, parse, type ScalarTag, type Tags, YAMLError } from 'yaml';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isObject, type SourceDocument } from './document.ts';
import { SourceError } from './settings.ts';
import { renderTemplate } from './template.ts';

/** All files of one import together, in bytes: what `/config` takes. */
export const SOURCE_BYTES_MAX = 128 * 1024 * 1024;
export const FILES_MAX = 10_000;
export const DEPTH_MAX = 64;
/** How often anchors may be expanded: a few lines of YAML must not become gigabytes. */
const ALIASES_MAX = 100_000;
/** Scalars, lists and maps of one document. */
export const VALUES_MAX = 10_000_000;

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
  const rendered = renderTemplate(text, label, env);
  let value: unknown;
  try {
    value = parse(rendered, {
      merge: true,
      maxAliasCount: ALIASES_MAX,
      customTags: withWords,
      logLevel: 'error',
    });
  } catch (error) {
    if (error instanceof YAMLError || error instanceof ReferenceError) {
      throw new SourceError(`${label}: ${firstLines(error.message)}`);
    }
    throw error;
  }
  if (value === null || value === undefined) return null;
  const json = new JsonReader(label).read(value, DEPTH_MAX);
  if (!isObject(json)) throw new SourceError(`${label}: expected a map at the top`);
  return json;
}

/** Kong and decK read YAML 1.1, where these are booleans too. */
const WORDS: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  identify: () => false,
  test: /^(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$/,
  resolve: (text) => /^(?:y|on)/i.test(text),
};

function withWords(tags: Tags): (ScalarTag | CollectionTag | Tags[number])[] {
  return [...tags, WORDS];
}

/** The message has the place in it; what follows shows the text there, which may be a secret. */
function firstLines(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/:$/, '');
}

/** From what YAML can say to JSON; aliases are written out, so the result is counted. */
class JsonReader {
  readonly #label: string;
  #values = 0;

  constructor(label: string) {
    this.#label = label;
  }

  read(value: unknown, depth: number): JsonValue {
    this.#values += 1;
    if (this.#values > VALUES_MAX) throw this.#error(`more than ${VALUES_MAX} values`);
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (typeof value !== 'object') throw this.#error(`${String(value)} is no value of JSON`);
    if (depth === 0) throw this.#error(`nested deeper than ${DEPTH_MAX} levels`);
    if (Array.isArray(value)) return value.map((item: unknown) => this.read(item, depth - 1));
    const members = Object.entries(value).map(([name, item]: [string, unknown]) => {
      return [name, this.read(item, depth - 1)] as const;
    });
    return Object.fromEntries(members);
  }

  #error(text: string): SourceError {
    return new SourceError(`${this.#label}: ${text}`);
  }
}
