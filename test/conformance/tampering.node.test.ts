/** The tampering matrix against what a Node data plane reads: the wire, its disk, the fallback storage. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { headName, nodeName } from '#shared/config/fallback.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { ObjectStore } from '#shared/platform/node/object-store.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { FileConfigStore } from '../../node-dp/config-store.ts';
import { loadFallback } from '../../node-dp/fallback.ts';
import { tamperingSuite } from './tampering.suite.ts';
import { byDelta, byStore, byWire, headOf } from './tampering.ways.ts';

/** A data plane only reads. */
const WRITTEN: Omit<ObjectStore, 'get'> = {
  put: () => Promise.reject(new Error('it is not for data planes to write')),
  remove: () => Promise.reject(new Error('it is not for data planes to write')),
  list: async () => [],
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-tampering-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

tamperingSuite(byWire('the wire, on Node', nodeCrypto));
tamperingSuite(byStore('the disk', nodeCrypto, () => new FileConfigStore(join(folder, 'config'))));
tamperingSuite(byDelta('deltas on the wire, on Node', nodeCrypto));

/** Somebody writes the bucket, and no control plane answers: nothing is served before it. */
tamperingSuite({
  name: 'the fallback storage',
  crypto: nodeCrypto,
  give: async (_good, bytes, pinned) => {
    const group = 'default';
    const objects = new Map([[headName(group, 1), JSON.stringify(headOf(bytes))]]);
    for (const [id, text] of bytes.nodes) objects.set(nodeName(group, id), text);
    const pair = { privateKey: nodeRandom.bytes(32), publicKey: nodeRandom.bytes(32) };
    const found = await loadFallback({
      store: { ...WRITTEN, get: async (name) => objects.get(name) ?? null },
      group,
      bootKey: null,
      joinToken: null,
      identity: {
        tag: 'joined',
        keySequence: 0,
        ...pinned,
        node: nodeRandom.uuid(),
        group,
        signing: pair,
        sealing: pair,
        joinSeq: 1,
        groupSecrets: [],
        highWater: { epoch: 0, revision: 0, ...pinned.highWater },
      },
      crypto: nodeCrypto,
      logger: { log: () => {} },
    });
    return found?.state.manifest.revision ?? null;
  },
});
