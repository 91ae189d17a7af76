/** Which key-encryption key this process has, and whether it is the one that the database's keys are wrapped by. */
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { decodeKey, KeyringError, type KeySettings, loadKek } from './kek.ts';
import { KekWrapper, type KeyWrapper } from './key-wrapper.ts';

/** As the database names the key that its keys are wrapped by. */
export interface WrappedBy {
  readonly clusterId: string;
  readonly fingerprint: Uint8Array;
}

/** Keys kept for what may still be wrapped by them. */
const HELD_MAX = 8;

export class WrapperSource {
  readonly #settings: KeySettings;
  #current: KeyWrapper;
  /** What the database's keys may still be wrapped by: the key named as previous, and those held before. */
  #previous: readonly KeyWrapper[];

  private constructor(settings: KeySettings, current: KeyWrapper) {
    this.#settings = settings;
    this.#current = current;
    this.#previous = previousOf(settings);
  }

  /**
   * @param isNew  whether there is no cluster yet, so that a key may be made
   * @throws KeyringError
   */
  static async load(settings: KeySettings, isNew: boolean): Promise<WrapperSource> {
    return new WrapperSource(settings, new KekWrapper(await loadKek(settings, isNew)));
  }

  /** What is to wrap the database's keys. */
  get current(): KeyWrapper {
    return this.#current;
  }

  /**
   * What does wrap them: the key of the settings, the one they name as previous, or what is found when
   * the settings are read again.
   *
   * @throws KeyringError when it is none of these
   */
  async fitting(by: WrappedBy): Promise<KeyWrapper> {
    const found = await this.#find(by);
    if (found !== null) return found;
    await this.reread();
    const again = await this.#find(by);
    if (again !== null) return again;
    throw new KeyringError(
      'HEADGATE_KEK: not the key-encryption key that this database was made with, or was changed to ' +
        '(to change it, give the new one as HEADGATE_KEK and the old one as HEADGATE_KEK_PREVIOUS)',
    );
  }

  /** Reads the settings again; what was held so far counts as previous. */
  async reread(): Promise<void> {
    const given = this.#settings.reread?.() ?? {};
    const settings = { ...this.#settings, ...given };
    const held = [this.#current, ...this.#previous];
    this.#current = new KekWrapper(await loadKek(settings, false));
    this.#previous = [...previousOf(settings), ...held].slice(0, HELD_MAX);
  }

  async #find({ clusterId, fingerprint }: WrappedBy): Promise<KeyWrapper | null> {
    for (const wrapper of [this.#current, ...this.#previous]) {
      const own = await wrapper.fingerprint(clusterId);
      if (nodeCrypto.timingSafeEqual(own, fingerprint)) return wrapper;
    }
    return null;
  }
}

function previousOf({ previousKek = null }: KeySettings): KeyWrapper[] {
  if (previousKek === null) return [];
  return [new KekWrapper(decodeKey(previousKek, 'HEADGATE_KEK_PREVIOUS'))];
}
