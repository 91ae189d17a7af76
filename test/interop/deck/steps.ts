/** What is asked of decK, step by step; a round leaves the control plane as empty as it found it. */
import assert from 'node:assert/strict';
import { differences } from './compare.ts';
import { type Deck, tail } from './deck.ts';
import { countEntities, isJson, isList, type Json, type State } from './state.ts';
import { transferSteps } from './transfer.ts';

const NOTHING = { created: 0, updated: 0, deleted: 0 };
const SELECTED: State = {
  _format_version: '3.0',
  services: [
    {
      name: 'selected',
      host: 'selected.example.com',
      routes: [{ name: 'selected', paths: ['/selected'] }],
      plugins: [{ name: 'key-auth' }],
    },
  ],
  consumers: [{ username: 'selected', keyauth_credentials: [{ key: 'selected-key' }] }],
};
/** Names and paths that `default` has too: workspaces keep them apart. */
const WORKSPACE: State = {
  _format_version: '3.0',
  _workspace: 'team-a',
  services: [
    {
      name: 'service-0',
      host: 'team-a.example.com',
      routes: [{ name: 'route-0-a', paths: ['/team-a'] }],
    },
  ],
  consumers: [{ username: 'consumer-0', keyauth_credentials: [{ key: 'key-0' }] }],
};

export type Step = readonly [name: string, run: () => Promise<void>];

/** @param state  of at least 200 entities */
export function round(deck: Deck, state: State): Step[] {
  const file = deck.write('state', state);
  const total = countEntities(state);
  return [
    ['has at least 200 entities', async () => assert.ok(total >= 200, `only ${total}`)],
    ['pings', async () => succeeds(deck.gateway('ping'))],
    ['validates offline', async () => succeeds(deck.command('file', 'validate', file))],
    ['validates online', async () => succeeds(deck.gateway('validate', file))],
    [
      'diffs: everything is to be created',
      async () => {
        const changes = await deck.diff(file);
        assert.deepEqual(changes, { ...NOTHING, code: 2, created: total });
      },
    ],
    [
      'syncs: everything is created',
      async () => assert.deepEqual(await deck.sync(file), { ...NOTHING, created: total }),
    ],
    ['dumps what was synced', async () => dumps(deck, state)],
    ['diffs: nothing is left to do', async () => isDone(deck, file)],
    ['syncs again: nothing changes', async () => assert.deepEqual(await deck.sync(file), NOTHING)],
    [
      'diffs its own dump: nothing is to be done',
      async () => isDone(deck, deck.write('own-dump', await deck.dump())),
    ],
    ...modified(deck, state, file),
    ...selected(deck, file, state),
    ...workspaces(deck, file, state),
    ...transferSteps(deck),
    [
      'resets: everything is deleted',
      async () => {
        assert.deepEqual(await deck.reset(), { ...NOTHING, deleted: total });
        assert.equal(countEntities(await deck.dump()), 0);
      },
    ],
  ];
}

function modified(deck: Deck, state: State, file: string): Step[] {
  const other = structuredClone(state);
  const services = listOf(other, 'services');
  Object.assign(services[0] ?? {}, { host: 'moved.example.com', retries: 1 });
  Object.assign(listOf(other, 'upstreams')[0] ?? {}, { slots: 2000 });
  const plugins = listOf(other, 'plugins');
  Object.assign(plugins.find(({ name }) => name === 'correlation-id') ?? {}, {
    config: { header_name: 'X-Other-ID', generator: 'uuid#counter', echo_downstream: false },
  });
  // With all that depends on it.
  const gone = listOf(other, 'consumers').pop();
  services.push({
    name: 'late',
    host: 'late.example.com',
    routes: [{ name: 'late', paths: ['/late'] }],
  });
  const changes = { created: 2, updated: 3, deleted: 1 + countEntities(gone) };
  const path = deck.write('modified', other);
  return [
    [
      'diffs a modified file: two creates, three updates, a consumer with all it has',
      async () => assert.deepEqual(await deck.diff(path), { ...changes, code: 2 }),
    ],
    [
      'syncs the modified file',
      async () => {
        assert.deepEqual(await deck.sync(path), changes);
        await isDone(deck, path);
        await dumps(deck, other);
      },
    ],
    [
      'syncs back',
      async () => {
        const back = { created: changes.deleted, updated: 3, deleted: 2 };
        assert.deepEqual(await deck.sync(file), back);
        await isDone(deck, file);
      },
    ],
  ];
}

function selected(deck: Deck, file: string, state: State): Step[] {
  const path = deck.write('selected', SELECTED);
  const tag = ['--select-tag', 'team-b'];
  const total = countEntities(SELECTED);
  return [
    [
      '--select-tag: syncs beside the rest, which stays',
      async () => {
        assert.deepEqual(await deck.sync(path, ...tag), { ...NOTHING, created: total });
        await isDone(deck, path, ...tag);
        assert.equal(countEntities(await deck.dump()), countEntities(state) + total);
      },
    ],
    [
      '--select-tag: dumps what has the tag',
      async () => assert.deepEqual(differences(SELECTED, await deck.dump(...tag)), []),
    ],
    [
      '--select-tag: two tags select what has both',
      async () => {
        const none = await deck.dump('--select-tag', 'team-b', '--select-tag', 'interop');
        assert.equal(countEntities(none), 0);
      },
    ],
    [
      '--select-tag: resets what has the tag, and nothing else',
      async () => {
        assert.deepEqual(await deck.reset(...tag), { ...NOTHING, deleted: total });
        await isDone(deck, file);
      },
    ],
  ];
}

function workspaces(deck: Deck, file: string, state: State): Step[] {
  const path = deck.write('workspace', WORKSPACE);
  // CA certificates belong to no workspace, in Kong either: each would take those of all for its own.
  const flag = ['--workspace', 'team-a', '--skip-ca-certificates'];
  const total = countEntities(WORKSPACE);
  return [
    [
      '--workspace: diffs against a workspace that is not there yet',
      async () => {
        // The second round finds the workspace that the first one made.
        assert.deepEqual(await deck.diff(path, ...flag), { ...NOTHING, code: 2, created: total });
      },
    ],
    [
      '--workspace: syncs, making it, with names that `default` has too',
      async () => {
        assert.deepEqual(await deck.sync(path, ...flag), { ...NOTHING, created: total });
        await isDone(deck, path, ...flag);
        assert.deepEqual(differences(WORKSPACE, await deck.dump(...flag)), []);
      },
    ],
    [
      '--workspace: leaves `default` as it was',
      async () => {
        await isDone(deck, file);
        await dumps(deck, state);
      },
    ],
    [
      '--workspace: resets it alone',
      async () => {
        assert.deepEqual(await deck.reset(...flag), { ...NOTHING, deleted: total });
        assert.equal(countEntities(await deck.dump(...flag)), 0);
        await isDone(deck, file);
      },
    ],
  ];
}

async function succeeds(command: ReturnType<Deck['command']>): Promise<void> {
  const { code, output } = await command;
  assert.equal(code, 0, tail(output));
}

async function isDone(deck: Deck, file: string, ...args: readonly string[]): Promise<void> {
  assert.deepEqual(await deck.diff(file, ...args), { ...NOTHING, code: 0 });
}

async function dumps(deck: Deck, state: State): Promise<void> {
  const dump = await deck.dump();
  assert.deepEqual(differences(state, dump), []);
  assert.equal(countEntities(dump), countEntities(state));
}

function listOf(state: State, name: string): Json[] {
  const list = state[name];
  assert.ok(isList(list) && list.every(isJson), name);
  // The state is a clone of our own, so its lists may be changed.
  return list as Json[];
}
