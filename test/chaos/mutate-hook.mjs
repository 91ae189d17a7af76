// Loaded with `--import` into a program under test: replaces a few lines of its source, so that a test
// can be seen to fail on a build that is broken in a known way. Plain JavaScript: it runs before all.
import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
/** {file, find, replace}[], paths from the repository's root. */
const changes = JSON.parse(process.env['CHAOS_CHANGES'] ?? '[]');

registerHooks({
  load(url, context, nextLoad) {
    const mine = changes.filter(({ file }) => new URL(file, root).href === url);
    if (mine.length === 0) return nextLoad(url, context);
    let source = readFileSync(fileURLToPath(url), 'utf8');
    for (const { file, find, replace } of mine) {
      if (source.split(find).length !== 2) throw new Error(`${file} does not say once: ${find}`);
      source = source.replace(find, () => replace);
    }
    return { format: 'module', source: stripTypeScriptTypes(source), shortCircuit: true };
  },
});
