/** The fallback storage, as the settings name it. */
import type { RecordOf } from '../../schema/infer.ts';
import type { FALLBACK_SETTINGS } from '../../settings/fallback.ts';
import { SettingsError } from './env.ts';
import { type ObjectStore, openObjectStore } from './object-store.ts';

/** Null when there is none. @throws SettingsError */
export function openFallbackStore(
  settings: RecordOf<typeof FALLBACK_SETTINGS>,
): ObjectStore | null {
  const {
    HEADGATE_CLUSTER_FALLBACK_CONFIG_STORAGE: url,
    HEADGATE_CLUSTER_FALLBACK_CONFIG_KEY_ID: accessKeyId,
    HEADGATE_CLUSTER_FALLBACK_CONFIG_SECRET: secretAccessKey,
    HEADGATE_CLUSTER_FALLBACK_CONFIG_REGION: region,
  } = settings;
  if (url === null) return null;
  if ((accessKeyId === null) !== (secretAccessKey === null)) {
    const missing = accessKeyId === null ? 'KEY_ID' : 'SECRET';
    const name = `HEADGATE_CLUSTER_FALLBACK_CONFIG_${missing}`;
    const allowed = 'key id and secret are set together';
    throw new SettingsError([{ name, value: null, allowed }]);
  }
  const credentials =
    accessKeyId === null || secretAccessKey === null
      ? null
      : { accessKeyId, secretAccessKey, region };
  return openObjectStore({ url, credentials });
}
