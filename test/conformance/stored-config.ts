/** Configurations for stores that do not look inside. */
import type { StoredConfig } from '#shared/platform/platform.ts';

/** A configuration with as many tree nodes as asked for; `mark` makes it distinct. */
export function storedConfig(mark: string, nodeCount: number): StoredConfig {
  const nodes = new Map<string, string>();
  for (let i = 0; i < nodeCount; i += 1) {
    nodes.set(i.toString(16).padStart(64, '0'), `{"mark":"${mark}","text":"é\\n${i}"}`);
  }
  return {
    manifest: `{"manifest":"${mark}"}`,
    signature: `signature-${mark}`,
    keyList: '{"keys":[]}',
    keyListSignature: 'key-list-signature',
    nodes,
  };
}
