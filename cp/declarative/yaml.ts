/**
 * YAML as Kong's files are written: the core schema of YAML 1.2, with YAML 1.1's booleans and merge
 * keys (`yes`, `off`, `<<`), which Kong takes too. Dates stay text. Stricter than Kong in two things
 * that nobody means: a key that comes twice is an error, and so is a tag that nobody knows.
 */
import { parseDocument, type ScalarTag } from 'yaml';

export type YamlResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: string };

/** Times one anchor may stand in a text, its own place and those through other anchors included. */
export const ALIASES_MAX = 10_000;
/** Nesting of a value. A value that contains itself is infinitely deep. */
export const YAML_DEPTH_MAX = 64;
/** Members and elements at all levels, aliases counted as what they stand for. */
export const YAML_VALUES_MAX = 5_000_000;
const ERROR_LENGTH_MAX = 500;

const BOOLEANS: readonly ScalarTag[] = [
  {
    identify: (value) => value === true,
    default: true,
    tag: 'tag:yaml.org,2002:bool',
    test: /^(?:yes|Yes|YES|on|On|ON)$/,
    resolve: () => true,
  },
  {
    identify: (value) => value === false,
    default: true,
    tag: 'tag:yaml.org,2002:bool',
    test: /^(?:no|No|NO|off|Off|OFF)$/,
    resolve: () => false,
  },
];

export function readYaml(text: string): YamlResult {
  try {
    const document = parseDocument(text, {
      schema: 'core',
      merge: true,
      customTags: (tags) => [...BOOLEANS, ...tags],
    });
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) return failed(problem.message);
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
    const excess = measure(value);
    return excess === null ? { ok: true, value } : failed(excess);
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error));
  }
}

function failed(error: string): YamlResult {
  return { ok: false, error: error.trim().slice(0, ERROR_LENGTH_MAX) };
}

/** What is too much of a value, which may hold the same object many times. */
function measure(root: unknown): string | null {
  let values = 0;
  const visit = (value: unknown, depth: number): string | null => {
    if (typeof value !== 'object' || value === null) return null;
    if (depth >= YAML_DEPTH_MAX) return `nested deeper than ${YAML_DEPTH_MAX} levels`;
    for (const member of Object.values(value)) {
      values += 1;
      if (values > YAML_VALUES_MAX) return `more than ${YAML_VALUES_MAX} members and elements`;
      const excess = visit(member, depth + 1);
      if (excess !== null) return excess;
    }
    return null;
  };
  return visit(root, 0);
}
