/** The tampering matrix against what an edge data plane reads: the wire, its hub's SQLite, and KV. */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import type { Pinned } from '#shared/config/manifest.ts';
import { HealthRegistry } from '#shared/health/registry.ts';
import type { ConfigStore, StoredConfig } from '#shared/platform/platform.ts';
import { writeBootRecord } from '#shared/config/boot-record.ts';
import { ConfigSource } from '../../edge-dp/config-source.ts';
import { edgeCrypto } from '../../edge-dp/crypto.ts';
import type { Hub } from '../../edge-dp/hub-api.ts';
import { HubStore } from '../../edge-dp/hub-store.ts';
import { KvConfig } from '../../edge-dp/kv-config.ts';
import { edgeClock, edgeRandom } from '../../edge-dp/platform.ts';
import { SharedHealth } from '../../edge-dp/shared-health.ts';
import { tamperingSuite } from './tampering.suite.ts';
import { byDelta, byStore, byWire, headOf } from './tampering.ways.ts';

const BOOT_KEY = new Uint8Array(32).fill(3);
const MAX_AGE_MS = 1_000;

tamperingSuite(byWire('the wire, in workerd', edgeCrypto));
tamperingSuite(byDelta('deltas on the wire, in workerd', edgeCrypto));

tamperingSuite(
  byStore('SQLite of a Durable Object', edgeCrypto, () => {
    const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
    const inside = <T>(work: (store: ConfigStore) => Promise<T>): Promise<T> =>
      runInDurableObject(stub, (_hub, state) => work(new HubStore(state.storage)));
    return {
      load: () => inside((inner) => inner.load()),
      save: (config) => inside((inner) => inner.save(config)),
    };
  }),
);

/** D-17: somebody writes KV, or stands between isolates and their hub. */
let isolate: Isolate | null = null;
tamperingSuite({
  name: 'KV and a hub that lies (D-17)',
  crypto: edgeCrypto,
  give: async (good, bytes, pinned) => {
    // One isolate stands it all, as long as it serves what it should.
    isolate ??= await Isolate.serving(good, pinned);
    const served = await isolate.given(bytes);
    if (served !== JSON.parse(good.manifest).revision) isolate = null;
    return served;
  },
});

class Isolate {
  readonly #hub = new LyingHub();
  readonly #kv = new KvConfig(env.HEADGATE_CONFIG, crypto.randomUUID());
  /** In KV by now: only what differs is written. */
  readonly #written = new Map<string, string>();
  readonly #source: ConfigSource;
  #skippedMs = 0;

  static async serving(good: StoredConfig, pinned: Pinned): Promise<Isolate> {
    const made = new Isolate();
    const platform = { crypto: edgeCrypto, random: edgeRandom };
    const boot = await writeBootRecord({ ...pinned, groupSecrets: [] }, BOOT_KEY, platform);
    await made.#kv.writeBoot(boot);
    await made.given(good);
    return made;
  }

  private constructor() {
    this.#source = new ConfigSource({
      hub: () => this.#hub,
      kv: this.#kv,
      bootKey: BOOT_KEY,
      maxIsolateAgeMs: MAX_AGE_MS,
      clock: { ...edgeClock, now: () => Date.now() + this.#skippedMs },
      crypto: edgeCrypto,
      logger: { log: () => {} },
      use: () => null,
      background: () => {},
      health: new SharedHealth(new HealthRegistry(), () => {}),
    });
  }

  /** @returns the revision that it serves then */
  async given(config: StoredConfig): Promise<number | null> {
    const changed = [...config.nodes].filter(([id, text]) => this.#written.get(id) !== text);
    for (const [id, text] of changed) this.#written.set(id, text);
    await this.#kv.writeNodes(changed.map(([id, text]) => ({ id, text })));
    await this.#kv.writeHead(headOf(config));
    this.#hub.config = config;
    this.#skippedMs += MAX_AGE_MS * 10;
    await this.#source.freshen();
    return this.#source.state?.manifest.revision ?? null;
  }
}

/** Gives what it was told to. */
class LyingHub implements Hub {
  config: StoredConfig | null = null;

  async ensure(): Promise<void> {}

  async head() {
    const { config } = this;
    const head = config === null ? null : headOf(config);
    return { head, boot: null, bootMark: '' };
  }

  async nodes(ids: string[]) {
    const nodes = this.config?.nodes ?? new Map<string, string>();
    return ids.filter((id) => nodes.has(id)).map((id) => ({ id, text: nodes.get(id) ?? '' }));
  }

  async status(): Promise<string> {
    return '{}';
  }
}
