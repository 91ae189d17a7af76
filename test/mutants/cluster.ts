/** Ways to break several control planes, epochs, and what the database is trusted with. */
import type { Mutant } from './mutants.ts';

const SEVERAL = { project: 'servers', test: 'cp/cluster/several.pg.test.ts' } as const;
const FAILOVER = { project: 'servers', test: 'cp/cluster/failover.pg.test.ts' } as const;
const BEHIND = { project: 'servers', test: 'cp/cluster/behind.pg.test.ts' } as const;
const SLEEP = { project: 'servers', test: 'cp/cluster/sleep.pg.test.ts' } as const;
const ROLE = { project: 'servers', test: 'cp/store/cluster-role.pg.test.ts' } as const;
const EPOCHS = { project: 'embedded', test: 'cp/cluster/epochs.db.test.ts' } as const;
const HISTORIES = { project: 'embedded', test: 'cp/cluster/histories.db.test.ts' } as const;
const BALANCE = { project: 'unit', test: 'cp/cluster/balance.test.ts' } as const;
const RESTORE = { project: 'whole', test: 'test/e2e/restore.test.ts' } as const;

export const CLUSTER_MUTANTS = {
  'a control plane keeps the nodes that it has': {
    ...SEVERAL,
    changes: [
      {
        file: 'cp/cluster/balance.ts',
        find: 'if (own <= average * (1 + SLACK_SHARE) + SLACK_COUNT) return 0;',
        replace: 'if (own >= 0) return 0;',
      },
    ],
  },
  'all that is too much moves at once': {
    ...BALANCE,
    changes: [
      {
        file: 'cp/cluster/balance.ts',
        find: 'return Math.min(most, Math.ceil((own - average) / 2));',
        replace: 'return Math.max(most, Math.ceil(own - average));',
      },
    ],
  },
  'the manifest lists only who is alive': {
    ...SEVERAL,
    changes: [
      {
        file: 'cp/cluster/control-planes.ts',
        find: "seen_at > now() - interval '1 day'",
        replace: 'stopped_at IS NULL',
      },
    ],
  },
  'a lease that has run out counts': {
    ...SEVERAL,
    changes: [
      {
        file: 'cp/cluster/control-planes.ts',
        find: 'WHERE id <> $1 AND stopped_at IS NULL\n           AND seen_at > now() - make_interval(secs => ttl_seconds)',
        replace: 'WHERE id <> $1 AND stopped_at IS NULL',
      },
    ],
  },
  'nobody looks whether the database is another one': {
    ...FAILOVER,
    changes: [
      {
        file: 'cp/changes/publication.ts',
        find: "if (isDoubtful(group, heads, seen)) return { type: 'doubtful' };",
        replace: 'void isDoubtful;',
      },
      {
        file: 'cp/changes/publisher.ts',
        find: 'if (this.#failures > 0) await this.#epochs.settle();',
        replace: '',
      },
      {
        file: 'cp/changes/group-state.ts',
        find: 'WHERE ${IS_SAME_DATABASE} IS FALSE\n       OR g.published',
        replace: 'WHERE g.published',
      },
    ],
  },
  'epochs are counted, not drawn': {
    ...EPOCHS,
    changes: [
      {
        file: 'cp/cluster/epochs.ts',
        find: 'floor(random() * (1 << ${CHANCE_BITS}))::bigint + greatest(\n         floor(extract(epoch FROM clock_timestamp()))::bigint << ${CHANCE_BITS}, $1::bigint,',
        replace: 'greatest($1::bigint,',
      },
    ],
  },
  'what a control plane has seen is not compared': {
    ...EPOCHS,
    changes: [
      {
        file: 'cp/cluster/epochs.ts',
        find: '?? (await this.#lost(tx))',
        replace: '',
      },
    ],
  },
  'what a node holds is not believed': {
    ...HISTORIES,
    changes: [
      {
        file: 'cp/cluster/epochs.ts',
        find: 'const doubt = await claim(tx, groupId, position, node);',
        replace: 'const doubt = null as Doubt | null;',
      },
    ],
  },
  'a copy of a database takes over without being told to': {
    ...RESTORE,
    changes: [
      {
        file: 'cp/cluster/epochs.ts',
        find: "if (this.#options.policy === 'take-over') return { reason: 'moved', detail };",
        replace: "if (this.#options.policy !== null) return { reason: 'moved', detail };",
      },
    ],
  },
  'a pong names the head that is known, however old': {
    ...BEHIND,
    changes: [
      {
        file: 'cp/sync/hub.ts',
        find: 'return this.clock.monotonic() - askedMs <= limitMs;',
        replace: 'return limitMs > 0 || askedMs > 0;',
      },
    ],
  },
  'a database that may sleep is listened to': {
    ...SLEEP,
    changes: [
      {
        file: 'cp/store/drivers/pg.ts',
        find: 'options.isPooled || options.listens === false',
        replace: 'options.isPooled',
      },
    ],
  },
  'the cluster endpoint may read everything': {
    ...ROLE,
    changes: [
      {
        file: 'cp/store/cluster-role.ts',
        find: 'GRANT USAGE ON SCHEMA public TO ${quoted}',
        replace: 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${quoted}',
      },
    ],
  },
} as const satisfies Readonly<Record<string, Mutant>>;
