/** Mistakes that the simulator has to find: each a change of the real source, made as it is loaded. */

export interface Mutant {
  readonly name: string;
  readonly what: string;
  /** File → what is replaced, each exactly once. */
  readonly edits: Readonly<Record<string, readonly (readonly [find: string, replace: string])[]>>;
}

/** What a data plane takes for true. */
const trusting: readonly Mutant[] = [
  {
    name: 'result-unchecked',
    what: 'a delta is taken without looking whether it leads to what was signed',
    edits: {
      'shared/config/replica.ts': [
        ['tree.hash !== manifest.root || tree.size !== manifest.records', 'false'],
      ],
    },
  },
  {
    name: 'base-unchecked',
    what: 'a delta is applied to whatever is held, and its result not checked',
    edits: {
      'shared/config/replica.ts': [
        ['tree.hash !== manifest.root || tree.size !== manifest.records', 'false'],
        ['compareRevisions(frame.base, held) !== 0 || frame.base.hash !== held.hash', 'false'],
      ],
    },
  },
  {
    name: 'signature-unchecked',
    what: 'the signature of a manifest is not verified',
    edits: {
      'shared/config/manifest.ts': [
        [
          'if (await verifyText(DOMAIN.manifest, candidate, publicKey, crypto)) return key.id;',
          'if (candidate.text !== "") return key.id;',
        ],
      ],
    },
  },
  {
    name: 'root-unpinned',
    what: 'a key list signed by any root key is taken',
    edits: {
      'shared/config/key-list.ts': [
        ['if (!(await verifyText(DOMAIN.keys, signed, rootKey, crypto))) return null;', ''],
      ],
    },
  },
  {
    name: 'group-unchecked',
    what: 'a manifest of another group of the same cluster is taken',
    edits: {
      'shared/config/manifest.ts': [['manifest.group_id !== pinned.groupId', 'false']],
    },
  },
  {
    name: 'shards-unchecked',
    what: 'a tree node is taken for what it is named, and the result not checked',
    edits: {
      'shared/config/tree-node.ts': [['if (nodeId(leaf, crypto) !== id) return null;', '']],
      'shared/config/replica.ts': [
        ['tree.hash !== manifest.root || tree.size !== manifest.records', 'false'],
      ],
    },
  },
  {
    name: 'older-accepted',
    what: 'a manifest older than what is held is taken',
    edits: {
      'shared/config/replica.ts': [
        ["if (order > 0) return 'newer';", "if (order !== 0) return 'newer';"],
        [
          'if (highWater === undefined || ',
          'if (highWater === undefined || highWater.revision > 0 || ',
        ],
      ],
    },
  },
];

/** What a data plane keeps, builds and says. */
const forgetful: readonly Mutant[] = [
  {
    name: 'high-water-not-kept',
    what: 'the high-water mark is not written to the disk',
    edits: {
      'shared/sync/membership.ts': [
        [
          'return { ...identity, highWater: { epoch, revision }, keySequence };',
          'return { ...identity, keySequence };',
        ],
      ],
    },
  },
  {
    name: 'ack-before-saved',
    what: 'an acknowledgement says "persisted" before it is',
    edits: {
      'shared/sync/client.ts': [
        [
          'const persisted = outcome.ok && (await this.#saveInTime(state));',
          'const persisted = outcome.ok;\n    void this.#saveInTime(state);',
        ],
      ],
    },
  },
  {
    name: 'ack-before-served',
    what: 'what was verified is acknowledged before it is built',
    edits: {
      'shared/sync/news.ts': [
        [
          "return [{ ...next, building: ready }, [{ type: 'build', state: ready }]];",
          "const ack = { type: 'ack', position: positionOf(ready), persisted: false, quarantined: [] };\n  return [{ ...next, building: ready }, [{ type: 'build', state: ready }, { type: 'send', frame: ack }]];",
        ],
      ],
    },
  },
  {
    name: 'saves-out-of-order',
    what: 'two configurations are written at once, and the older one may win',
    edits: {
      'shared/sync/saver.ts': [
        [
          'return new Promise((resolve) => {',
          'if (this.#running === null) return this.#saveNow(value);\n    return new Promise((resolve) => {',
        ],
      ],
    },
  },
  {
    name: 'candidate-dropped',
    what: 'what is verified while something else is built is forgotten',
    edits: {
      'shared/sync/news.ts': [
        [
          'if (next.building !== null) return [{ ...next, candidate: ready }, []];',
          'if (next.building !== null) return [next, []];',
        ],
      ],
    },
  },
  {
    name: 'counter-unsaved',
    what: 'a join counter is confirmed that could not be written',
    edits: {
      'shared/sync/membership.ts': [
        [
          'const joinSeq = isKept ? welcome.join_seq : joined.joinSeq;',
          'const joinSeq = welcome.join_seq;',
        ],
      ],
    },
  },
  {
    name: 'enrolment-unsaved',
    what: 'the keys of a first enrolment are not kept before the token is spent',
    edits: {
      'shared/sync/membership.ts': [
        [
          'if (!(await this.#keep(() => pending))) this.#identity = pending;',
          'this.#identity = pending;',
        ],
      ],
    },
  },
];

/** How a data plane stays in touch. */
const clumsy: readonly Mutant[] = [
  {
    name: 'no-back-off',
    what: 'a failed connection is tried again at once',
    edits: {
      'shared/sync/backoff.ts': [
        [
          'return random * Math.min(RETRY_MS_MAX, RETRY_MS_BASE * 2 ** doublings);',
          'return doublings * 0;',
        ],
      ],
    },
  },
  {
    name: 'no-cap',
    what: 'the wait between tries grows without a bound',
    edits: {
      'shared/sync/backoff.ts': [
        [
          'return random * Math.min(RETRY_MS_MAX, RETRY_MS_BASE * 2 ** doublings);',
          'return random * RETRY_MS_BASE * 4 ** failures;',
        ],
      ],
    },
  },
  {
    name: 'silence-unnoticed',
    what: 'a connection on which nothing is heard any more is kept',
    edits: {
      'shared/wire/protocol.ts': [['SILENCE_MAX_MS = 25_000', 'SILENCE_MAX_MS = 3_600_000']],
    },
  },
];

/** What a control plane writes, publishes and tells. */
const careless: readonly Mutant[] = [
  {
    name: 'version-from-sequence',
    what: 'versions come from a sequence, and what is newest from their maximum',
    edits: {
      'cp/store/pending-changes.ts': [
        [
          'UPDATE workspace_versions SET version = version + 1\n    WHERE ws_id = ANY($1::uuid[]) RETURNING ws_id, version',
          "SELECT ws_id, nextval('versions') AS version FROM workspace_versions\n    WHERE ws_id = ANY($1::uuid[])",
        ],
      ],
      'cp/changes/group-state.ts': [
        [
          'THEN v.version ELSE',
          'THEN coalesce((SELECT max(c.version) FROM changes c WHERE c.ws_id = v.ws_id), 0) ELSE',
        ],
      ],
    },
  },
  {
    name: 'torn-publication',
    what: 'publishing does not read everything as of one moment',
    edits: {
      'cp/changes/publisher.ts': [["isolation: 'repeatable read'", "isolation: 'read committed'"]],
    },
  },
  {
    name: 'revision-reused',
    what: 'a database that went back in time counts on in the same epoch',
    edits: {
      'cp/cluster/epochs.ts': [
        [
          `"UPDATE groups SET epoch = $1, published = '{}', published_as = NULL", [epoch]`,
          `"UPDATE groups SET published = '{}', published_as = NULL"`,
        ],
      ],
    },
  },
  {
    name: 'nodes-unstored',
    what: 'the tree nodes of a revision are not stored, so that nobody can fetch them',
    edits: {
      'cp/changes/stored-level.ts': [
        [
          'const added = isFirst && addedNodes.length === 0 ? [...tree.nodes()] : addedNodes;',
          'const added = addedNodes.slice(1);',
        ],
      ],
    },
  },
  {
    name: 'no-poll',
    what: 'new revisions are only looked for after a notification',
    // Pings ask as well when nothing was read for a while.
    edits: {
      'cp/sync/hub.ts': [
        ["    this.published('');\n", ''],
        [
          'return this.clock.monotonic() - askedMs <= limitMs;',
          'return limitMs > askedMs - limitMs;',
        ],
      ],
    },
  },
  {
    name: 'publisher-no-poll',
    what: 'commits are only published after a notification',
    edits: {
      'cp/changes/publisher.ts': [
        [
          'this.#cancelTimer = this.#options.clock.setTimer(waitMs, () => this.wake());',
          'void waitMs;',
        ],
      ],
    },
  },
  {
    name: 'answer-awaited-forever',
    what: 'an update that a node never answers keeps all later ones back',
    edits: { 'cp/sync/session.ts': [['nowMs - state.target.sentMs > ANSWER_MAX_MS', 'false']] },
  },
  {
    name: 'old-session-kept',
    what: 'a session goes on although a newer one of the same node has taken over',
    edits: {
      'cp/sync/takeovers.ts': [["older.dispatch({ type: 'end', reason: 'superseded' });", '']],
    },
  },
  {
    name: 'revoked-kept',
    what: 'the session of a revoked node goes on',
    edits: {
      'cp/sync/hub.ts': [
        [
          "this.#byNode.get(node)?.dispatch({ type: 'end', reason: ending });",
          'void [node, ending];',
        ],
      ],
    },
  },
  {
    name: 'secret-not-brought',
    what: 'a node is told of a revision made with a secret that it was not given',
    edits: {
      'cp/sync/session.ts': [
        ['(state.feed.head?.secretGeneration ?? 0) > state.secretGeneration', 'false'],
      ],
    },
  },
];

export const MUTANTS: readonly Mutant[] = [...trusting, ...forgetful, ...clumsy, ...careless];
