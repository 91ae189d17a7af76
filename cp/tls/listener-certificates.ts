/** The certificates of the control plane's listeners, by the settings that name them. */
import { resolve } from 'node:path';
import { SettingsError } from '#shared/platform/node/env.ts';
import { StartError } from '#shared/platform/node/start-error.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { ControlPlaneSettings } from '#shared/settings/control-plane.ts';
import { isLoopback, type Listen } from '#shared/settings/listen.ts';
import { LiveCertificate } from '#shared/platform/node/tls/live-certificate.ts';
import {
  filesSource,
  ownSource,
  type OwnCertificate,
  type PairSource,
} from '#shared/platform/node/tls/pair-source.ts';

type FileSetting =
  | 'HEADGATE_TLS_CERT'
  | 'HEADGATE_TLS_KEY'
  | 'HEADGATE_ADMIN_TLS_CERT'
  | 'HEADGATE_ADMIN_TLS_KEY';

export const ADMIN_CERTIFICATE: OwnCertificate = {
  name: 'Headgate Admin API (self-signed)',
  pairFile: 'admin-tls.key',
  certificateFile: 'admin-tls.pem',
};

const COMMON = ['HEADGATE_TLS_CERT', 'HEADGATE_TLS_KEY'] as const;
const ADMIN = ['HEADGATE_ADMIN_TLS_CERT', 'HEADGATE_ADMIN_TLS_KEY'] as const;

export class ListenerCertificates {
  readonly #settings: ControlPlaneSettings;
  readonly #logger: Logger;
  /** By certificate setting; `own` for the one that is made here. */
  readonly #open = new Map<string, LiveCertificate>();

  constructor(settings: ControlPlaneSettings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
  }

  /**
   * @param isAdmin  it serves the Admin API and nothing else: it may have a certificate of its own
   * @throws SettingsError, StartError when there is none that can be used
   */
  async of(listen: Listen, isAdmin: boolean): Promise<LiveCertificate> {
    const [certSetting, keySetting] = isAdmin && this.#names(ADMIN) ? ADMIN : COMMON;
    const isOwn = isAdmin && !this.#names([certSetting, keySetting]) && isLoopback(listen.host);
    const name = isOwn ? 'own' : certSetting;
    const present = this.#open.get(name);
    if (present !== undefined) return present;
    const source = isOwn
      ? ownSource(resolve(this.#settings.HEADGATE_DATA_DIR), ADMIN_CERTIFICATE, Date.now)
      : filesSource(this.#file(certSetting), this.#file(keySetting));
    const opened = await this.#load(source, certSetting);
    this.#open.set(name, opened);
    return opened;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((certificate) => certificate.close()));
  }

  #names(settings: readonly FileSetting[]): boolean {
    return settings.some((name) => this.#settings[name] !== null);
  }

  #file(setting: FileSetting): { setting: FileSetting; path: string } {
    const path = this.#settings[setting];
    if (path !== null) return { setting, path };
    const allowed = 'a listener marked ssl needs it';
    throw new SettingsError([{ name: setting, value: null, allowed }]);
  }

  async #load(source: PairSource, setting: FileSetting): Promise<LiveCertificate> {
    try {
      return await LiveCertificate.open({ source, logger: this.#logger });
    } catch (error) {
      if (error instanceof StartError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      const allowed = `a PEM certificate and its key (${reason})`;
      throw new SettingsError([{ name: setting, value: this.#settings[setting], allowed }]);
    }
  }
}
