/** Random histories of databases that lose what they published: a number never means two things. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { Position } from '#shared/wire/frames.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { Publisher } from '../changes/publisher.ts';
import { Epochs } from './epochs.ts';

const SEED = Number(process.env['HEADGATE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const STEPS = Number(process.env['HEADGATE_TEST_STEPS'] ?? 120);
const TABLES = ['groups', 'manifests', 'epochs'];

let db: TestStore;
let dataDir = '';
beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  dataDir = await mkdtemp(join(tmpdir(), 'headgate-histories-'));
}, 60_000);
afterAll(async () => {
  await db.close();
  await rm(dataDir, { recursive: true, force: true });
});

type Backup = ReadonlyMap<string, string>;

/** A database, its control plane and its nodes, all that outlives each of them told apart. */
class History {
  readonly #ledger = new Map<string, string>();
  readonly #backups: Backup[] = [];
  /** What the nodes hold: the newest that was ever published. */
  #held: Position | null = null;
  #epochs = this.#opened();

  async publish(): Promise<void> {
    await db.store.db.query(
      "UPDATE groups SET published_as = NULL, policy = jsonb_build_object('x', $1::text)",
      [nodeRandom.uuid()],
    );
    const publisher = new Publisher({
      ...db,
      epochs: this.#epochs,
      registry: REGISTRY,
      crypto: nodeCrypto,
      clock: nodeClock,
      random: nodeRandom,
      logger: silent,
      pollMs: 60_000,
    });
    publisher.start();
    await publisher.flush();
    await publisher.close();
    await this.#read();
  }

  async backUp(): Promise<void> {
    const backup = new Map<string, string>();
    for (const table of TABLES) {
      const { rows } = await db.store.db.query<{ text: string }>(
        `SELECT coalesce(jsonb_agg(t), '[]')::text AS text FROM ${table} t`,
      );
      backup.set(table, must(rows[0], table).text);
    }
    this.#backups.push(backup);
  }

  /** Puts an earlier state back. @param isSeen  whether something of the database shows it */
  async lose(random: SeededRandom, how: 'promoted' | 'files', keepsFolder: boolean): Promise<void> {
    const backup = this.#backups[random.below(this.#backups.length)];
    if (backup === undefined) return;
    await this.#epochs.close();
    await db.store.db.tx(async (tx) => {
      await tx.query('DELETE FROM manifests');
      await tx.query('DELETE FROM epochs');
      for (const [table, text] of backup) {
        if (table === 'groups') {
          await tx.query(
            `UPDATE groups g SET epoch = b.epoch, revision = b.revision, published = b.published,
               published_as = b.published_as
             FROM jsonb_populate_recordset(NULL::groups, $1::jsonb) b WHERE b.id = g.id`,
            [text],
          );
          continue;
        }
        await tx.query(
          `INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`,
          [text],
        );
      }
      if (how === 'promoted') {
        await tx.query(
          "UPDATE cluster SET database_identity = split_part(database_identity, '/', 1) || '/0'",
        );
      }
    });
    if (!keepsFolder)
      await rm(join(dataDir, 'cp'), { recursive: true, force: true, maxRetries: 5 });
    this.#epochs = this.#opened();
    await this.#epochs.witness.load();
    await this.#epochs.settle();
    // The nodes come back, and nothing else tells of what was lost when the folder is lost too.
    await db.store.db.query("UPDATE epochs SET at = at - interval '1 hour'");
    const { rows } = await db.store.db.query<{ id: string }>('SELECT id FROM groups');
    if (this.#held !== null) await this.#epochs.claimed(must(rows[0], 'it').id, this.#held, 'node');
  }

  #opened(): Epochs {
    const { clusterId } = db.keyring;
    return new Epochs({ db: db.store.db, clusterId, dataDir, policy: 'stop', logger: silent });
  }

  async #read(): Promise<void> {
    const { rows } = await db.store.db.query<Position>(
      'SELECT epoch, revision, hash FROM manifests ORDER BY epoch, revision',
    );
    for (const { epoch, revision, hash } of rows) {
      const name = `${epoch}.${revision}`;
      expect(this.#ledger.get(name) ?? hash, `seed ${SEED}: ${name}`).toBe(hash);
      this.#ledger.set(name, hash);
    }
    const head = must(rows.at(-1), 'a manifest');
    // A node takes nothing but what is newer: were it not, it would be stuck.
    if (this.#held !== null) {
      const isNewer =
        head.epoch > this.#held.epoch ||
        (head.epoch === this.#held.epoch && head.revision > this.#held.revision);
      expect(isNewer, `seed ${SEED}: ${head.epoch}.${head.revision}`).toBe(true);
    }
    this.#held = head;
  }
}

it('never publishes two contents under one number, nor any that a node would refuse', async () => {
  const random = new SeededRandom(SEED);
  const history = new History();
  await history.publish();
  await history.backUp();
  for (let step = 0; step < STEPS; step += 1) {
    if (random.chance(0.25)) await history.backUp();
    else if (random.chance(0.35)) {
      await history.lose(random, random.chance(0.4) ? 'promoted' : 'files', random.chance(0.5));
    } else await history.publish();
  }
  await history.publish();
}, 60_000);
