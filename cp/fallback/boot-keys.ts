/** Boot keys of groups, for operators to hand to data planes. */
import { base64url } from '#shared/base/bytes.ts';
import { bootKey } from '#shared/config/boot-key.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Db } from '../store/db.ts';

export interface BootKeysOptions {
  readonly db: Db;
  readonly keyring: Pick<Keyring, 'groupSecret'>;
  readonly crypto: Crypto;
}

export class BootKeys {
  readonly #options: BootKeysOptions;

  constructor(options: BootKeysOptions) {
    this.#options = options;
  }

  /**
   * The key that opens what is written from now on, until the group gets another secret.
   *
   * @param group  id or name
   * @returns null when there is no such group
   */
  async of(group: string): Promise<JsonObject | null> {
    const { db, keyring, crypto } = this.#options;
    const { rows } = await db.query<{ id: string; name: string; secret_generation: number }>(
      'SELECT id, name, secret_generation FROM groups WHERE name = $1 OR id::text = $1',
      [group],
    );
    const [row] = rows;
    if (row === undefined) return null;
    const { id, name, secret_generation: generation } = row;
    const key = bootKey({ generation, secret: keyring.groupSecret(id, generation) }, crypto);
    return { id, name, secret_generation: generation, boot_key: base64url(key) };
  }
}
