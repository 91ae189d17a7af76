/** Configurations for stores that do not look inside. */
import type { StoredConfig } from '#shared/platform/platform.ts';

/** A configuration with as many tree nodes as asked for; `mark` makes it distinct. */
export function storedConfig(mark: string, nodeCount: number): StoredConfig {
  const nodes = new Map<string, string>();
  // A node's id stands for its content: other content, other id.
  const prefix = [...mark].map((letter) => letter.charCodeAt(0).toString(16)).join('');
  for (let i = 0; i < nodeCount; i += 1) {
    const id = prefix + i.toString(16).padStart(64 - prefix.length, '0');
    nodes.set(id, `{"mark":"${mark}","text":"é\\n${i}"}`);
  }
  return {
    manifest: `{"manifest":"${mark}"}`,
    signature: `signature-${mark}`,
    keyList: '{"keys":[]}',
    keyListSignature: 'key-list-signature',
    nodes,
  };
}
