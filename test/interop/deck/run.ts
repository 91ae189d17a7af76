/**
 * `npm run interop:deck [-- --database pglite|postgres]`: decK, at the version that go.mod pins, syncs,
 * dumps, diffs, validates and resets a state of every kind of entity, twice in a row.
 */
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DatabaseName, startControlPlane } from '../support/control-plane.ts';
import { missingGo } from '../support/go.ts';
import { readOptions } from '../support/options.ts';
import { writeReport } from '../support/report.ts';
import { buildDeck, Deck, type DeckBuild } from './deck.ts';
import { fullState } from './state.ts';
import { round } from './steps.ts';

const LOGS = fileURLToPath(new URL('../../../.tsbuild/interop/', import.meta.url));
const ROUNDS = 2;

const missing = missingGo();
if (missing !== null) {
  console.error(`interop:deck: ${missing}`);
  process.exit(2);
}
const options = readOptions(process.argv.slice(2));
const failed: string[] = [];
let passed = 0;
console.log('decK: building (minutes the first time)');
const build = await buildDeck();
try {
  for (const database of options.databases) await runOn(database, build);
} finally {
  build.remove();
}
console.log(`decK: ${passed} steps passed, ${failed.length} failed`);
writeReport(options.report, { passed, failed });
process.exitCode = failed.length === 0 ? 0 : 1;

async function runOn(database: DatabaseName, deckBuild: DeckBuild): Promise<void> {
  mkdirSync(LOGS, { recursive: true });
  const file = join(LOGS, `deck-${database}.log`);
  const log = createWriteStream(file);
  console.log(`decK on ${database}: log in ${file}`);
  const controlPlane = await startControlPlane(database);
  const deck = new Deck(deckBuild, controlPlane.url, log);
  try {
    const state = fullState();
    for (let i = 1; i <= ROUNDS; i += 1) {
      for (const [name, step] of round(deck, state)) {
        await attempt(`decK on ${database}, round ${i}: ${name}`, step);
      }
    }
  } finally {
    deck.close();
    await attempt(`decK on ${database}: the control plane ran to the end`, controlPlane.stop);
    log.end();
  }
}

/** Later steps run all the same: they say more about what is wrong. */
async function attempt(name: string, step: () => Promise<void>): Promise<void> {
  const started = performance.now();
  try {
    await step();
    passed += 1;
    console.log(`  ok     ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    failed.push(`${name}: ${reason.split('\n')[0]}`);
    console.log(`  FAILED ${name}\n         ${reason.replaceAll('\n', '\n         ')}`);
  }
}
