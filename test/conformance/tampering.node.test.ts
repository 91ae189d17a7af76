/** The tampering matrix against what a Node data plane reads: the wire, and its disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { FileConfigStore } from '../../node-dp/config-store.ts';
import { tamperingSuite } from './tampering.suite.ts';
import { byStore, byWire } from './tampering.ways.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-tampering-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

tamperingSuite(byWire('the wire, on Node', nodeCrypto));
tamperingSuite(byStore('the disk', nodeCrypto, () => new FileConfigStore(join(folder, 'config'))));
