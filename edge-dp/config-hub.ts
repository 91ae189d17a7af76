/**
 * The hub: one Durable Object per deployment, and the node that the control plane knows.
 *
 * It runs the same sync client as a Node data plane, over an outgoing WebSocket. What the client has
 * verified is built once as a check, written to SQLite and handed to isolates from then on; the copy
 * in KV follows. An alarm wakes the object when it was evicted, which an open outgoing socket does
 * not prevent for ever.
 */
import { DurableObject } from 'cloudflare:workers';
import { base64url, hex, utf8 } from '#shared/base/bytes.ts';
import type { AdjustableLogger } from '#shared/platform/platform.ts';
import { parseBindings, type Bindings, type Env } from './bindings.ts';
import { parseBootKey, writeBootRecord, type BootRecord } from '#shared/config/boot-record.ts';
import { edgeCrypto } from './crypto.ts';
import { NODES_COUNT_MAX, type Held, type Hub, type HubAnswer } from './hub-api.ts';
import { HubHealth } from './hub-health.ts';
import { HubSession } from './hub-session.ts';
import { HubStore, type TreeNode } from './hub-store.ts';
import { KvConfig } from './kv-config.ts';
import { KvPublisher } from './kv-publisher.ts';
import { edgeClock, edgeLogger, edgeRandom } from './platform.ts';

/** How long an evicted hub may stay asleep. */
export const ALARM_INTERVAL_MS = 30_000;
/** UTF-16 units of one answer with nodes: well under the 32 MiB of an RPC message. */
const NODES_LENGTH_MAX = 4 * 1024 * 1024;

export class ConfigHub extends DurableObject<Env> implements Hub {
  readonly #bindings: Bindings;
  readonly #logger: AdjustableLogger;
  readonly #store: HubStore;
  readonly #kv: KvConfig;
  readonly #publisher: KvPublisher;
  readonly #health: HubHealth;
  readonly #session: HubSession;
  #bootMark = '';
  #boot: BootRecord | null = null;
  /** KV may have been emptied since it was written. */
  #isKvChecked = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#bindings = parseBindings(env);
    const { settings, kv } = this.#bindings;
    this.#logger = edgeLogger('hub', settings.HEADGATE_LOG_LEVEL);
    this.#store = new HubStore(ctx.storage);
    this.#kv = new KvConfig(kv, settings.HEADGATE_DEPLOYMENT);
    this.#publisher = new KvPublisher(this.#store, this.#kv, edgeClock, this.#logger);
    this.#health = new HubHealth(this.#store, edgeClock);
    this.#session = new HubSession({
      settings,
      health: this.#health,
      store: this.#store,
      logger: this.#logger,
      onIdentity: (identity) => this.#setBoot(identity),
      onSaved: () => this.#publish(),
    });
    void ctx.blockConcurrencyWhile(() => this.#session.restore());
    // It may have been evicted before KV had everything.
    ctx.waitUntil(this.#catchUp());
  }

  async ensure(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.#setAlarm();
    this.#session.start();
  }

  override async alarm(): Promise<void> {
    // First of all: whatever fails below must not end the chain.
    await this.#setAlarm();
    this.#session.start();
    await this.#catchUp();
  }

  async head(held: Held): Promise<HubAnswer> {
    await this.ensure();
    this.#session.heardIsolate(held.level);
    const head = this.#session.headFor(held.level);
    const isHeld = head === null || head.hash === held.hash;
    this.#health.take(held.outcomes ?? []);
    if (held.refused) this.#session.refusedByIsolate(held.refused);
    return {
      head: isHeld ? null : head.signed,
      boot: this.#bootMark === held.bootMark ? null : this.#boot,
      bootMark: this.#bootMark,
      // Nothing is proven of what an isolate holds that cannot read the head.
      provenAgeMs: head === this.#session.head() ? this.#session.provenAgeMs() : null,
      health: this.#health.news(held.healthMark ?? ''),
    };
  }

  async nodes(ids: string[]): Promise<TreeNode[]> {
    return this.#store.nodes(ids.slice(0, NODES_COUNT_MAX), NODES_LENGTH_MAX);
  }

  async status(): Promise<string> {
    const isWritten = this.#store.getMeta('kv_head') === (this.#store.head()?.signature ?? null);
    const kv = { current: this.#isKvChecked && isWritten };
    return JSON.stringify({ ...this.#session.status(), kv, health: this.#health.status() });
  }

  #setBoot({ cluster, groupId, rootKey, groupSecrets }: BootRecord): void {
    // Not the whole identity: the node's own keys never leave this object.
    this.#boot = { cluster, groupId, rootKey, groupSecrets };
    this.#bootMark = markOf(this.#boot);
    this.ctx.waitUntil(this.#writeBoot());
  }

  /** A change of pins, secrets or boot key is a change of what is written. */
  async #writeBoot(): Promise<void> {
    const boot = this.#boot;
    if (boot === null) return;
    const text = this.#bindings.settings.HEADGATE_BOOT_KEY;
    const bootKey = text === null ? null : parseBootKey(text);
    const mark = bootKey === null ? markOf(boot) : `${markOf(boot)}:${hashOf(bootKey)}`;
    if (this.#store.getMeta('kv_boot') === mark) return;
    const platform = { crypto: edgeCrypto, random: edgeRandom };
    try {
      await this.#kv.writeBoot(await writeBootRecord(boot, bootKey, platform));
      this.#store.setMeta('kv_boot', mark);
    } catch (error) {
      this.#logger.log('warn', 'KV did not take the boot record', { error: String(error) });
    }
  }

  /** Makes KV what it should be. */
  async #catchUp(): Promise<void> {
    if (await this.#publisher.recover()) this.#store.setMeta('kv_boot', '');
    await this.#writeBoot();
    await this.#publisher.publish();
    this.#isKvChecked = true;
  }

  #publish(): void {
    this.ctx.waitUntil(this.#publisher.publish());
  }

  async #setAlarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + ALARM_INTERVAL_MS);
  }
}

/** Names a boot record without telling anything of it. */
function markOf(boot: BootRecord): string {
  const secrets = boot.groupSecrets.map(
    (entry) => `${entry.generation}:${base64url(entry.secret)}`,
  );
  const parts = [boot.cluster, boot.groupId, base64url(boot.rootKey), ...secrets];
  return hashOf(utf8(parts.join('\n')));
}

function hashOf(bytes: Uint8Array): string {
  return hex(edgeCrypto.sha256(bytes));
}
