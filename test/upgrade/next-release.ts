/**
 * The release after this one, made while its programs are loaded (`test/chaos/mutate-hook.mjs`): what a
 * release may change all at once. One schema level up, with the step down; one more migration, which only adds;
 * a later protocol; another version. An edit that no longer fits its file stops the program.
 */
import { PROTOCOL_VERSION } from '#shared/wire/protocol.ts';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import { MIGRATIONS } from '../../cp/store/migrate.ts';
import { changedEnv, type Change } from '../chaos/mutants.ts';

export const NEXT_VERSION = '99.0.0';
export const NEXT_LEVEL = SCHEMA_LEVEL + 1;
/** A member of Services that this release does not know. */
export const NEW_FIELD = 'handover';

const MIGRATION = `{
  number: ${MIGRATIONS.length + 1},
  name: 'next',
  floor: ${MIGRATIONS.at(-1)?.floor ?? 1},
  statements: [
    'ALTER TABLE nodes ADD COLUMN next_note text',
    'ALTER TABLE services ADD COLUMN next_note text',
    'CREATE TABLE next_things (id uuid PRIMARY KEY)',
  ],
}`;

/** The step down lives in the next release: what this one never heard of is left out for it. */
const DOWN = `(kind, body) => {
  if (kind !== 'services') return body;
  const { ${NEW_FIELD}: _new, ...known } = body;
  return known as typeof body;
}`;

export const NEXT_CHANGES: readonly Change[] = [
  {
    file: 'shared/base/product.ts',
    find: `HEADGATE_VERSION = '${HEADGATE_VERSION}'`,
    replace: `HEADGATE_VERSION = '${NEXT_VERSION}'`,
  },
  {
    file: 'shared/wire/protocol.ts',
    find: `PROTOCOL_VERSION = ${PROTOCOL_VERSION};`,
    replace: `PROTOCOL_VERSION = ${PROTOCOL_VERSION + 1};`,
  },
  {
    file: 'shared/config/levels.ts',
    find: `SCHEMA_LEVEL = ${SCHEMA_LEVEL};`,
    replace: `SCHEMA_LEVEL = ${NEXT_LEVEL};`,
  },
  {
    file: 'cp/changes/levels.ts',
    find: 'newest: SCHEMA_LEVEL, down: null }',
    replace: `newest: SCHEMA_LEVEL, down: ${DOWN} }`,
  },
  {
    file: 'shared/config/manifest.ts',
    find: '  /** Signing key, as the key list names it. */',
    replace: "  novelty: { type: 'string', required: false },",
  },
  {
    file: 'cp/changes/publication.ts',
    find: '    format: MANIFEST_FORMAT,\n',
    replace: "    format: MANIFEST_FORMAT,\n    novelty: 'of the next release',\n",
  },
  {
    file: 'cp/store/migrate.ts',
    find: '\n];\n\n/** Key of the advisory lock',
    replace: `\n  ${MIGRATION},\n];\n\n/** Key of the advisory lock`,
  },
  {
    file: 'shared/entities/service.ts',
    find: '    updated_at: timestampSeconds,\n',
    replace: `    updated_at: timestampSeconds,\n    ${NEW_FIELD}: { type: 'string' },\n`,
  },
];

/** For the environment of a program of the next release. */
export const NEXT_RELEASE = changedEnv(NEXT_CHANGES);
