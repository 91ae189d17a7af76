/** Mistakes in what is known of nodes, told of them, and asked of them. */
import type { Mutant } from './mutants.ts';

const ACKS = { project: 'embedded', test: 'cp/nodes/group-acks.db.test.ts' } as const;
const RECEIPTS = { project: 'servers', test: 'cp/receipts/receipts.pg.test.ts' } as const;
const CALLS = { project: 'servers', test: 'cp/nodes/node-calls.pg.test.ts' } as const;
const COUNTERS = { project: 'embedded', test: 'cp/nodes/shared-counters.db.test.ts' } as const;
const CONTROL = { project: 'unit', test: 'node-dp/remote-control.test.ts' } as const;
const RPC = { project: 'unit', test: 'shared/sync/rpc.test.ts' } as const;

function one(file: string, find: string, replace: string): Mutant['changes'] {
  return [{ file, find, replace }];
}

export const RECEIPT_MUTANTS: Readonly<Record<string, Mutant>> = {
  'a node counts as served before it has built anything': {
    ...RECEIPTS,
    changes: one(
      'cp/receipts/receipt.ts',
      'if (target !== null && compareRevisions(live.position, target) >= 0) {',
      'if (target !== null) {',
    ),
  },
  'a node that left counts as served': {
    ...RECEIPTS,
    changes: one('cp/receipts/receipt.ts', 'if (isThere) return', 'if (isThere || true) return'),
  },
  'a node that went elsewhere is not looked for': {
    ...RECEIPTS,
    changes: one(
      'cp/receipts/receipts.ts',
      'new Map(rows.map(({ id, at }) => [id, at]))',
      'new Map()',
    ),
  },
  'nodes of other control planes are not waited for': {
    ...RECEIPTS,
    changes: one(
      'cp/receipts/receipts.ts',
      'elsewhere: new Map(Object.entries(row.elsewhere)),',
      'elsewhere: new Map(),',
    ),
  },
  'what is not published yet counts as the newest': {
    ...RECEIPTS,
    changes: one(
      'cp/receipts/receipts.ts',
      'published < version) return null;',
      'published < 0) return null;',
    ),
  },
  'a refusal is waited out': {
    ...RECEIPTS,
    changes: one('cp/receipts/receipt.ts', 'refused >= connected - applied;', 'refused < 0;'),
  },
  'a deployment at the edge serves it at once': {
    ...RECEIPTS,
    changes: one('cp/receipts/receipt.ts', '...(edge > 0 ?', '...(edge > 1e9 ?'),
  },
  'receipts wait without number': {
    ...RECEIPTS,
    changes: one(
      'cp/receipts/receipts.ts',
      'const late = isFull ? 0 : timeoutMs;',
      'const late = timeoutMs;',
    ),
  },
  'a node that goes stays in the summary': {
    ...ACKS,
    changes: one('cp/nodes/group-acks.ts', 'nodes.delete(node.id);', ''),
  },
  'an acknowledgement is not summed up': {
    ...ACKS,
    changes: one('cp/nodes/registry.ts', 'this.#acks.changed(node.groupId);', ''),
  },
  'a row is written for every revision': {
    ...ACKS,
    changes: one('cp/nodes/live-node.ts', 'if (isSame) return;', ''),
  },
  'all laggards are named': {
    ...ACKS,
    changes: one(
      'cp/nodes/group-stand.ts',
      'if (laggards.length < LAGGARDS_MAX) laggards.push(laggardOf(node));',
      'laggards.push(laggardOf(node));',
    ),
  },
  'nodes of a dead control plane stay connected': {
    ...ACKS,
    changes: one(
      'cp/nodes/liveness.ts',
      'AND alive.seen_at > now() - make_interval(secs => alive.ttl_seconds)',
      '',
    ),
  },
  'a forgotten node stays listed': {
    ...ACKS,
    changes: one(
      'cp/nodes/node-list.ts',
      'make_interval(secs => n.forget_seconds)',
      'make_interval(years => 9)',
    ),
  },
  'calls are done without number': {
    ...RPC,
    changes: one(
      'shared/sync/rpc.ts',
      'if (this.#served >= SERVED_MAX) return',
      'if (this.#served >= 1e9) return',
    ),
  },
  'calls come without pause': {
    ...RPC,
    changes: one(
      'shared/sync/rpc.ts',
      'if (!this.#spend()) return',
      'if (!this.#spend() && false) return',
    ),
  },
  'a call outlives its session': {
    ...RPC,
    changes: one('shared/sync/rpc.ts', 'if (isDue && session === this.#session)', 'if (isDue)'),
  },
  'params are taken as they come': {
    ...RPC,
    changes: one(
      'shared/sync/rpc.ts',
      'if (!parsed.ok) return null;',
      'if (!parsed.ok) return value;',
    ),
  },
  'a call stays with the control plane that was asked': {
    ...CALLS,
    changes: one(
      'cp/nodes/node-calls.ts',
      'if (elsewhere.size === 0) return here;',
      'return here;',
    ),
  },
  'who was not reached did it': {
    ...CALLS,
    changes: one(
      'cp/nodes/node-calls.ts',
      'asked: count, unreached: count }',
      'asked: count, done: count }',
    ),
  },
  'counters of control planes stay apart': {
    ...COUNTERS,
    changes: one('cp/nodes/shared-counters.ts', 'entry.counter.known = total;', ''),
  },
  'counters count twice what was told': {
    ...COUNTERS,
    changes: one('cp/nodes/shared-counters.ts', 'entry.counter.added -= entry.by;', ''),
  },
  'groups share counters': {
    ...COUNTERS,
    changes: one(
      'cp/nodes/shared-counters.ts',
      'const key = `${groupId} ${window}',
      'const key = `${window}',
    ),
  },
  'a change by hand lasts': {
    ...CONTROL,
    changes: one(
      'shared/base/for-a-while.ts',
      'if (seconds <= 0 || value === this.#usual) return;',
      'return;',
    ),
  },
};
