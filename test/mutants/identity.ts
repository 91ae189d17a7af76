/**
 * Builds that are broken on purpose in what identity and authenticity rest on, each with the tests that
 * must fail on it. `node test/mutants/identity.ts [part of a name]` puts each into the source, runs them, and takes it out
 * again; the last line counts those that nothing noticed. Needs a tree without changes of its own.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Stands in the file once. */
  readonly find: string;
  readonly replace: string;
  readonly project: 'embedded' | 'servers' | 'whole' | 'workers';
  readonly test: string;
}

const CLONES = { project: 'embedded', test: 'cp/sync/clones.db.test.ts' } as const;
const TOKENS = { project: 'embedded', test: 'cp/sync/join-tokens.db.test.ts' } as const;
const THIEF = { project: 'embedded', test: 'cp/sync/thief.db.test.ts' } as const;
const REVOKING = { project: 'servers', test: 'cp/sync/revocation.pg.test.ts' } as const;
const SIGNING = { project: 'embedded', test: 'cp/keys/signing-keys.db.test.ts' } as const;
const TAMPERING = { project: 'whole', test: 'test/conformance/tampering.node.test.ts' } as const;

const MUTANTS: readonly Mutant[] = [
  {
    name: 'the signature of a manifest is not looked at',
    file: 'shared/config/manifest.ts',
    find: 'if (await verifyText(DOMAIN.manifest, candidate, publicKey, crypto)) return key.id;',
    replace: 'if (candidate.signature !== publicKey.join()) return key.id;',
    ...TAMPERING,
  },
  {
    name: 'a manifest of any group is taken',
    file: 'shared/config/manifest.ts',
    find: 'if (manifest.group_id !== pinned.groupId)',
    replace: 'if (manifest.group_id === null)',
    ...TAMPERING,
  },
  {
    name: 'an older list of keys is taken',
    file: 'shared/config/manifest.ts',
    find: 'if (list.sequence < (pinned.keySequence ?? 0)) {',
    replace: 'if (list.sequence < 0) {',
    ...TAMPERING,
  },
  {
    name: 'an isolate takes an older list of keys',
    file: 'edge-dp/state-loader.ts',
    find: 'keySequence: held?.keySequence ?? 0,',
    replace: 'keySequence: 0,',
    project: 'workers',
    test: 'test/conformance/tampering.workers.test.ts',
  },
  {
    name: 'any epoch is taken, whatever the root allows for',
    file: 'shared/config/manifest.ts',
    find: 'if (manifest.epoch < first || manifest.epoch >= end) {',
    replace: 'if (first > end) {',
    ...TAMPERING,
  },
  {
    name: 'the join counter never retires a number',
    file: 'cp/sync/join-counter.ts',
    find: '(n.join_open OR',
    replace: '(true OR',
    ...CLONES,
  },
  {
    name: 'a number that was handed out and not confirmed is retired at the next hello',
    file: 'cp/sync/join-counter.ts',
    find: 'THEN ${handed(NEXT)} ELSE',
    replace: 'THEN ARRAY[${NEXT}] ELSE',
    ...CLONES,
  },
  {
    name: 'a number that was handed out is handed out again',
    file: 'cp/sync/join-counter.ts',
    find: 'greatest(${from}::bigint, coalesce(n.join_pending, 0)) + ${step}::bigint',
    replace: 'coalesce(n.join_pending, ${from}::bigint + ${step}::bigint)',
    ...CLONES,
  },
  {
    name: 'the number handed out does not count before it is confirmed',
    file: 'cp/sync/join-counter.ts',
    find: ' OR $2 = n.join_pending OR $2 = ANY(n.join_handed)',
    replace: '',
    ...CLONES,
  },
  {
    name: 'a hello that comes late is a clone',
    file: 'cp/sync/authenticator.ts',
    find: 'if (late.count > 0)',
    replace: 'if (late.count > 1)',
    ...CLONES,
  },
  {
    name: 'a token is counted up after the node is made, without looking',
    file: 'cp/nodes/join-tokens.ts',
    find: 'WHERE id = $1 AND uses < max_uses AND expires_at > now() AND revoked_at IS NULL`,',
    replace: 'WHERE id = $1`,',
    ...REVOKING,
  },
  {
    name: 'the pins of a token are not looked at',
    file: 'cp/nodes/join-tokens.ts',
    find: '  if (token.cidrs.length > 0 && !isWithin(ip, token.cidrs)) {',
    replace: '  if (token.cidrs.length > 999) {',
    ...TOKENS,
  },
  {
    name: 'the wire says what is wrong with a token',
    file: 'cp/sync/authenticator.ts',
    find: "return { ...refuse('unauthorized', 'the join token is not accepted'), detail };",
    replace: "return refuse('unauthorized', detail);",
    ...TOKENS,
  },
  {
    name: 'a revoked node leaves the secret of its group as it was',
    file: 'cp/nodes/identities.ts',
    find: 'UPDATE groups SET secret_generation = secret_generation + 1 WHERE id = $1',
    replace: 'UPDATE groups SET secret_generation = secret_generation WHERE id = $1',
    ...REVOKING,
  },
  {
    name: 'revocations and locks are only heard of, never looked for',
    file: 'cp/sync/hub.ts',
    find: 'this.#background(this.#endings.look());',
    replace: 'void 0;',
    ...REVOKING,
  },
  {
    name: 'a session is not bound to the name that was dialled',
    file: 'cp/sync/authenticator.ts',
    find: ': !this.#isHost(frame.host, expected.hostHeader)',
    replace: ': !this.#isHost(expected.hostHeader, expected.hostHeader)',
    ...THIEF,
  },
  {
    name: 'a list of keys needs no signature of the root',
    file: 'cp/keys/signing-keys.ts',
    find: '  if (list === null)\n    throw',
    replace:
      '  if (list === null) return JSON.parse(signed.text) as KeyList;\n  if (false as boolean)\n    throw',
    ...SIGNING,
  },
];

/** Part of the names of those to be tried; without: all. */
const wanted = process.argv[2] ?? '';
const tried = MUTANTS.filter(({ name }) => name.includes(wanted));

// One that no longer fits its file stops it all, so that none rots unseen.
for (const { name, file, find } of MUTANTS) {
  const places = readFileSync(file, 'utf8').split(find).length - 1;
  if (places !== 1) throw new Error(`${name}: ${file} has its place ${places} times`);
}

let missed = 0;
for (const mutant of tried) {
  const text = readFileSync(mutant.file, 'utf8');
  writeFileSync(
    mutant.file,
    text.replace(mutant.find, () => mutant.replace),
  );
  try {
    const args = ['vitest', 'run', '--project', mutant.project, mutant.test];
    const { status } = spawnSync('npx', args, { stdio: 'ignore' });
    if (status === 0) missed += 1;
    console.log(`${status === 0 ? 'MISSED' : 'caught'}  ${mutant.name}`);
  } finally {
    writeFileSync(mutant.file, text);
  }
}
console.log(`${tried.length} mutants, ${missed} missed`);
process.exitCode = missed === 0 ? 0 : 1;
