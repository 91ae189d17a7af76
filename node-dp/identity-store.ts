/** The node's identity in one file, for its owner only: who it is, and the keys that prove it. */
import { textIdentityStore, type IdentityStore } from '#shared/sync/identity.ts';
import { fileText } from './file-text.ts';

export function fileIdentityStore(path: string): IdentityStore {
  return textIdentityStore(fileText(path));
}
