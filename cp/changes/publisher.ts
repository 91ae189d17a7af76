/**
 * Publishing as a step of its own (decision 4): commits wake it, a poll makes sure; it coalesces what
 * was committed since, and whichever control plane gets the group's row lock does the work.
 */
import type { Clock, Logger, Random } from '#shared/platform/platform.ts';
import { msOf, type Period } from '../cluster/pace.ts';
import { Epochs } from '../cluster/epochs.ts';
import { retrying } from '../store/retry.ts';
import type { Store } from '../store/store.ts';
import { findBehind } from './group-state.ts';
import { publish, type KnownTree, type Publication, type PublicationDeps } from './publication.ts';
import { sweepRetired, SWEPT_ROWS_MAX } from './retention.ts';

/** Wait after another control plane was found publishing: it may not have seen our commit. */
const BUSY_RETRY_MS = 100;
const BACKOFF_BASE_MS = 100;
const BACKOFF_MAX_MS = 5_000;
const SWEEP_INTERVAL_MS = 60_000;
const SWEEP_ROUNDS_MAX = 20;
/** Records of the trees kept in memory, about a kilobyte each; one group's are kept however many. */
export const KNOWN_RECORDS_MAX = 400_000;

export interface PublisherOptions extends PublicationDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Not given: of its own, and nothing is kept of what it saw. */
  readonly epochs?: Epochs;
  /** `HEADGATE_POLL_SECONDS` in milliseconds. */
  readonly pollMs: Period;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #known = new Map<string, KnownTree>();
  readonly #epochs: Epochs;
  readonly #listeners = new Set<(groupId: string) => void>();
  #isWanted = false;
  #isClosed = false;
  #running: Promise<void> | null = null;
  #failures = 0;
  #sweptMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: () => void = () => {};
  #stopCommits: () => void = () => {};
  #stopEpochs: () => void = () => {};

  constructor(options: PublisherOptions) {
    const { store, keyring, logger } = options;
    const { clusterId } = keyring;
    this.#options = options;
    this.#epochs =
      options.epochs ??
      new Epochs({ db: store.db, clusterId, dataDir: null, policy: 'stop', logger });
  }

  /** Publishes what there is, then follows commits until `close`. */
  start(): void {
    this.#stopCommits = this.#options.store.onCommit(() => this.wake());
    this.#stopEpochs = this.#epochs.onBegun(() => this.wake());
    this.wake();
  }

  /** Calls `fn` after this process published a revision of a group; the answer unsubscribes. */
  onPublished(fn: (groupId: string) => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /** Looks for something to publish, soon; any number of calls become one. */
  wake(): void {
    this.#isWanted = true;
    if (this.#isClosed || this.#running !== null) return;
    this.#cancelTimer();
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#isClosed) return;
      // A commit between the last look and here must not wait for the poll.
      if (this.#isWanted && this.#failures === 0) this.wake();
    });
  }

  /** Resolves when everything committed before the call is published, here or elsewhere. */
  async flush(): Promise<void> {
    do {
      this.wake();
      await this.#running;
    } while (this.#running !== null);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopCommits();
    this.#stopEpochs();
    this.#cancelTimer();
    await this.#running;
    this.#cancelTimer();
    this.#listeners.clear();
  }

  async #run(): Promise<void> {
    let waitMs = msOf(this.#options.pollMs);
    try {
      // While the database was away, anything may have happened to it.
      if (this.#failures > 0) await this.#epochs.settle();
      while (this.#isWanted && !this.#isClosed) {
        this.#isWanted = false;
        if (await this.#publishAll()) waitMs = BUSY_RETRY_MS;
      }
      this.#failures = 0;
      await this.#sweep();
    } catch (error) {
      waitMs = this.#failed(error);
    }
    if (this.#isClosed) return;
    this.#cancelTimer = this.#options.clock.setTimer(waitMs, () => this.wake());
  }

  /** @returns whether to look again soon: another control plane is publishing, or a new epoch began */
  async #publishAll(): Promise<boolean> {
    const { store, registry, levels } = this.#options;
    let isBusy = false;
    for (const id of await findBehind(store.db, registry, levels)) {
      const result = await this.#publish(id);
      if (result.type === 'busy') isBusy = true;
      if (result.type === 'doubtful') {
        await this.#epochs.settle();
        isBusy = true;
      }
      if (result.type !== 'published') continue;
      this.#epochs.witness.saw(id, result.position);
      this.#keep(id, result.known);
      this.#announce(id, result);
    }
    return isBusy;
  }

  #publish(groupId: string): Promise<Publication> {
    const { store } = this.#options;
    const known = this.#known.get(groupId) ?? null;
    const seen = this.#epochs.witness.of(groupId);
    return retrying(() =>
      store.db.tx((tx) => publish(tx, store.reader(tx), groupId, known, this.#options, seen), {
        isolation: 'repeatable read',
      }),
    );
  }

  /** The trees of the groups published last. Any other is read from the database again. */
  #keep(groupId: string, known: KnownTree): void {
    this.#known.delete(groupId);
    this.#known.set(groupId, known);
    let records = 0;
    const sizeOf = ({ tree, lower }: KnownTree): number => tree.size + (lower?.size ?? 0);
    for (const other of this.#known.values()) records += sizeOf(other);
    for (const [oldest, other] of this.#known) {
      if (records <= KNOWN_RECORDS_MAX || oldest === groupId) return;
      this.#known.delete(oldest);
      records -= sizeOf(other);
    }
  }

  #announce(
    groupId: string,
    { position, withheld }: Extract<Publication, { type: 'published' }>,
  ): void {
    const { epoch, revision } = position;
    this.#options.logger.log('info', 'published', { group: groupId, epoch, revision });
    if (withheld !== null) {
      const { kind, id } = withheld;
      const message =
        'kept from data planes of the release before, which could not serve it as meant';
      this.#options.logger.log('warn', message, { group: groupId, revision, kind, id });
    }
    for (const listener of this.#listeners) listener(groupId);
  }

  async #sweep(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (now - this.#sweptMs < SWEEP_INTERVAL_MS) return;
    this.#sweptMs = now;
    // More than one round, or a minute of many changes would leave more than a sweep takes away.
    for (let round = 0; round < SWEEP_ROUNDS_MAX; round++) {
      if ((await sweepRetired(this.#options.store.db)) < SWEPT_ROWS_MAX) return;
    }
  }

  /** @returns how long to wait before the next try */
  #failed(error: unknown): number {
    const { logger, random } = this.#options;
    this.#isWanted = true;
    this.#failures += 1;
    const cap = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.min(this.#failures, 10));
    const waitMs = cap / 2 + (random.next() * cap) / 2;
    logger.log('error', 'publishing failed', {
      error: error instanceof Error ? error.message : String(error),
      failures: this.#failures,
      retryMs: Math.round(waitMs),
    });
    return waitMs;
  }
}
