/**
 * Copies the hub's state to KV: nodes first, the pointer last, one thing at a time.
 *
 * Publishing and sweeping share one loop, so that a node that comes back while it is swept cannot end
 * up named by the pointer and missing.
 */
import type { Clock, Logger } from '#shared/platform/platform.ts';
import type { HubStore } from './hub-store.ts';
import { KV_VALUE_BYTES_MAX, type KvConfig } from './kv-config.ts';

/** KV takes one write per second and key. */
export const HEAD_INTERVAL_MS = 1000;
/** After a failure; the hub's alarm tries again too. */
const RETRY_MS = 5000;
/** Nodes read from SQLite and written to KV at a time, and the memory they may take. */
const BATCH_COUNT_MAX = 100;
const BATCH_LENGTH_MAX = 4 * 1024 * 1024;
/** UTF-8 takes up to three bytes per unit. */
const NODE_LENGTH_MAX = Math.floor(KV_VALUE_BYTES_MAX / 3);

export class KvPublisher {
  readonly #store: HubStore;
  readonly #kv: KvConfig;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #isDirty = false;
  #running: Promise<void> | null = null;
  #headWrittenAt = Number.NEGATIVE_INFINITY;

  constructor(store: HubStore, kv: KvConfig, clock: Clock, logger: Logger) {
    this.#store = store;
    this.#kv = kv;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** There is something new to publish, or might be. Resolves when KV has it, or has failed. */
  publish(): Promise<void> {
    this.#isDirty = true;
    this.#running ??= this.#run().finally(() => (this.#running = null));
    return this.#running;
  }

  /** Whether KV has lost what the hub once wrote: then everything is to be written again. */
  async recover(): Promise<boolean> {
    if ((this.#store.getMeta('kv_head') ?? '') === '') return false;
    try {
      if ((await this.#kv.readHead()) !== null) return false;
    } catch (error) {
      this.#logger.log('warn', 'KV cannot be read', { error: String(error) });
      return false;
    }
    this.#logger.log('warn', 'KV has lost the configuration: it is written again');
    this.#store.forgetKv();
    this.#store.setMeta('kv_head', '');
    return true;
  }

  async #run(): Promise<void> {
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        await this.#publishOnce();
        await this.#sweep();
      } catch (error) {
        this.#logger.log('warn', 'KV did not take the configuration', { error: String(error) });
        await this.#sleep(RETRY_MS);
        return;
      }
    }
  }

  async #publishOnce(): Promise<void> {
    const head = this.#store.head();
    if (head === null || this.#store.getMeta('kv_head') === head.signature) return;
    await this.#writeNodes();
    await this.#sleep(this.#headWrittenAt + HEAD_INTERVAL_MS - this.#clock.now());
    // A newer one has come meanwhile, whose nodes are to be written first.
    if (this.#store.head()?.signature !== head.signature) {
      this.#isDirty = true;
      return;
    }
    this.#headWrittenAt = this.#clock.now();
    await this.#kv.writeHead(head);
    this.#store.setMeta('kv_head', head.signature);
  }

  async #writeNodes(): Promise<void> {
    for (;;) {
      const ids = this.#store.notInKv(BATCH_COUNT_MAX);
      if (ids.length === 0) return;
      const nodes = this.#store.nodes(ids, BATCH_LENGTH_MAX);
      if (nodes.length === 0) throw new Error('the hub has lost nodes of its own state');
      const tooLong = nodes.find((node) => node.text.length > NODE_LENGTH_MAX);
      if (tooLong !== undefined) throw new Error(`tree node ${tooLong.id} is too large for KV`);
      await this.#kv.writeNodes(nodes);
      this.#store.markInKv(nodes.map((node) => node.id));
    }
  }

  async #sweep(): Promise<void> {
    const expired = this.#store.expired(this.#clock.now());
    if (expired.length === 0) return;
    await this.#kv.removeNodes(expired.filter(({ inKv }) => inKv).map(({ id }) => id));
    this.#store.removeExpired(expired.map(({ id }) => id));
  }

  #sleep(delayMs: number): Promise<void> {
    if (delayMs <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#clock.setTimer(delayMs, resolve);
    });
  }
}
