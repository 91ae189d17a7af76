/** Ways to a data plane that both runtimes share: the wire, and what was stored. */
import { loadReplica, positionOf, type ReplicaState } from '#shared/config/replica.ts';
import type { Pinned } from '#shared/config/manifest.ts';
import type { ConfigStore, Crypto, StoredConfig } from '#shared/platform/platform.ts';
import { Verifier } from '#shared/sync/verifier.ts';
import type { ConfigFrame } from '#shared/sync/state.ts';
import type { TamperingWay } from './tampering.suite.ts';

/** Questions for nodes, before we stop answering. */
const QUESTIONS_MAX = 20;

/** Offered by a manifest, its nodes given as they are asked for. */
export function byWire(name: string, crypto: Crypto): TamperingWay {
  return {
    name,
    crypto,
    give: async (good, bytes, pinned) => {
      const held = await stateOf(good, pinned, crypto);
      const verifier = new Verifier(crypto);
      const holding = { held: [held], served: positionOf(held) };
      let frame: ConfigFrame = { type: 'manifest', head: headOf(bytes) };
      for (let question = 0; question < QUESTIONS_MAX; question += 1) {
        const verdict = await verifier.verify(frame, holding, pinned);
        if (verdict.tag === 'ready') return verdict.state.manifest.revision;
        if (verdict.tag !== 'fetching') return held.manifest.revision;
        frame = answer(verdict.ids, bytes);
      }
      return held.manifest.revision;
    },
  };
}

/** Pushed as what has changed: nothing is given beside it. */
export function byDelta(name: string, crypto: Crypto): TamperingWay {
  return {
    name,
    crypto,
    isOfRecords: true,
    give: async (good, bytes, pinned) => {
      const held = await stateOf(good, pinned, crypto);
      const known = new Set(recordsOf(good));
      const upserts = recordsOf(bytes).filter((text) => !known.has(text));
      const position = positionOf(held);
      const frame: ConfigFrame = {
        type: 'delta',
        base: position,
        head: headOf(bytes),
        upserts,
        removals: [],
      };
      const holding = { held: [held], served: position };
      const verdict = await new Verifier(crypto).verify(frame, holding, pinned);
      return verdict.tag === 'ready' ? verdict.state.manifest.revision : held.manifest.revision;
    },
  };
}

function recordsOf({ nodes }: StoredConfig): string[] {
  return [...nodes.values()]
    .filter((text) => text.startsWith('leaf'))
    .flatMap((text) => text.split('\n').slice(1));
}

/** Kept by somebody, and read at the next start: nothing is served before it. */
export function byStore(name: string, crypto: Crypto, open: () => ConfigStore): TamperingWay {
  return {
    name,
    crypto,
    give: async (_good, bytes, pinned) => {
      const store = open();
      await store.save(bytes);
      const stored = await store.load();
      if (stored === null) return null;
      const loaded = await loadReplica(stored, pinned, crypto);
      return loaded.ok ? loaded.state.manifest.revision : null;
    },
  };
}

async function stateOf(good: StoredConfig, pinned: Pinned, crypto: Crypto): Promise<ReplicaState> {
  const loaded = await loadReplica(good, pinned, crypto);
  if (!loaded.ok) throw new Error(loaded.detail);
  return loaded.state;
}

export function headOf({ manifest, signature, keyList, keyListSignature }: StoredConfig) {
  return { manifest, signature, key_list: keyList, key_list_signature: keyListSignature };
}

function answer(ids: readonly string[], { nodes }: StoredConfig): ConfigFrame {
  const there = ids.filter((id) => nodes.has(id));
  return {
    type: 'shards',
    nodes: there.map((id) => ({ id, text: nodes.get(id) ?? '' })),
    missing: ids.filter((id) => !nodes.has(id)),
  };
}
