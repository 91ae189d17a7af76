/** Ways to give a thief of one data plane, or of what lies about, more than `reliability.md` 5.3 allows. */
import type { Mutant } from './mutants.ts';

const THIEF = { project: 'embedded', test: 'cp/sync/thief.db.test.ts' } as const;
const CLAIMS = { project: 'embedded', test: 'cp/sync/claims.db.test.ts' } as const;
const NODE_KEYS = { project: 'embedded', test: 'cp/sync/node-keys.db.test.ts' } as const;
const WANTS = { project: 'unit', test: 'cp/sync/want-budget.test.ts' } as const;
const NODE_WAYS = { project: 'whole', test: 'test/conformance/tampering.node.test.ts' } as const;

export const THIEF_MUTANTS = {
  'D-02: a node is believed by its word': {
    ...THIEF,
    changes: [
      {
        file: 'cp/sync/claims.ts',
        find: 'if (lack !== null) return this.#doubt(node, position, lack);',
        replace: 'if (lack !== null) this.#doubt(node, position, lack);',
      },
    ],
  },
  'D-02: any manifest of the cluster proves any position': {
    ...CLAIMS,
    changes: [
      {
        file: 'cp/sync/claims.ts',
        find: 'return isIt ? null :',
        replace: 'return isIt || epoch > 0 ? null :',
      },
    ],
  },
  'D-03: API keys are published as they are': {
    ...THIEF,
    changes: [
      {
        file: 'cp/changes/to-wire.ts',
        find: "if (kind === 'lookup' && typeof value === 'string') return hash(value);",
        replace: "if (kind === 'lookup' && typeof value === 'string') return value;",
      },
    ],
  },
  'D-04: whoever has some token is somebody to the Admin API': {
    ...THIEF,
    changes: [
      {
        file: 'cp/admin/access.ts',
        find: 'if (holder !== null) return holder;',
        replace: 'if (token !== null) return LOCAL;',
      },
    ],
  },
  'D-11: what a node says is a line of the log': {
    ...THIEF,
    changes: [
      {
        file: 'cp/sync/hub.ts',
        find: "this.logger.log('error', 'data plane refused a revision', {",
        replace: "this.logger.log('error', `data plane refused: ${report.detail}`, {",
      },
    ],
  },
  'D-12: tree nodes are given without an end': {
    ...THIEF,
    changes: [
      { file: 'cp/sync/want-budget.ts', find: 'if (tokens < 0) return false;', replace: '' },
    ],
  },
  'D-12: what a node may ask for is the same however large its tree': {
    ...WANTS,
    changes: [
      {
        file: 'cp/sync/want-budget.ts',
        find: 'WANTED_PER_MINUTE + Math.ceil(records * WANTED_PER_RECORD)',
        replace: 'WANTED_PER_MINUTE + 0 * records',
      },
    ],
  },
  'D-16: API keys stay in the rows that they are encrypted for': {
    ...THIEF,
    changes: [
      {
        file: 'cp/store/entity-codec.ts',
        find: '    delete doc[field];\n    return value;',
        replace: '    return value;',
      },
    ],
  },
  'a key is changed without the signature of the one before it': {
    ...NODE_KEYS,
    changes: [
      {
        file: 'cp/sync/authenticator.ts',
        find: '!(await isSigned(by_old, old)) || ',
        replace: '',
      },
    ],
  },
  'a state need not be what was signed': {
    ...NODE_WAYS,
    changes: [
      {
        file: 'shared/config/replica.ts',
        find: 'if (tree.hash !== manifest.root || tree.size !== manifest.records) {',
        replace: 'if (tree.size !== manifest.records) {',
      },
    ],
  },
  'D-17: the fallback storage may take a node back': {
    ...NODE_WAYS,
    changes: [
      {
        file: 'node-dp/fallback.ts',
        find: 'const refusal = refuseBelow(verified.head, pinned);',
        replace: 'const refusal = null as ReturnType<typeof refuseBelow>;',
      },
    ],
  },
} as const satisfies Readonly<Record<string, Mutant>>;
