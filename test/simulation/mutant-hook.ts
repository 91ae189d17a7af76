/**
 * Puts a deliberate mistake into the source as it is loaded, so that the source itself holds no
 * switches. A mistake that does not fit any more stops everything: it would prove nothing.
 */
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MUTANTS } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** @param name  null or empty: none */
export function installMutant(name: string | null): void {
  if (name === null || name === '') return;
  const mutant = MUTANTS.find((known) => known.name === name);
  if (mutant === undefined) throw new Error(`no mutant ${name}`);
  const files = new Map<string, readonly Edit[]>(Object.entries(mutant.edits));
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.startsWith('file:')) return loaded;
      const edits = files.get(fileURLToPath(url).slice(ROOT.length));
      if (edits === undefined) return loaded;
      return { ...loaded, source: edited(textOf(loaded.source), edits, name) };
    },
  });
}

export type Edit = readonly [find: string, replace: string];

/** @throws Error when a text to be replaced is not there exactly once */
export function edited(source: string, edits: readonly Edit[], name: string): string {
  let text = source;
  for (const [find, replace] of edits) {
    const count = text.split(find).length - 1;
    if (count !== 1) throw new Error(`mutant ${name}: "${find}" is there ${count} times, not once`);
    text = text.replace(find, () => replace);
  }
  return text;
}

function textOf(source: unknown): string {
  return typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString('utf8');
}
