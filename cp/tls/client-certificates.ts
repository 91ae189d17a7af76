/**
 * Certificates that data planes must show at the cluster endpoint (mTLS): a second lock beside the
 * node's own key, never instead of it. `shared`: one of a pinned set; old and new stand in it side by
 * side while they are replaced. `pki`: any that a private CA signed. Files are followed while running,
 * and connections end with what they came in by.
 *
 * Source: Kong `cluster_mtls`, `clustering/tls.lua`
 */
import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { dirname } from 'node:path';
import { TLSSocket } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { SettingsError } from '#shared/platform/node/env.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { ControlPlaneSettings } from '#shared/settings/control-plane.ts';

type Mode = ControlPlaneSettings['HEADGATE_CLUSTER_MTLS'];
type FileSetting = 'HEADGATE_CLUSTER_CERT' | 'HEADGATE_CLUSTER_CA_CERT';

const FILE_BYTES_MAX = 1024 * 1024;
const CERTIFICATES_MAX = 64;
const POLL_MS = 10_000;
const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

interface Known {
  readonly text: string;
  /** SHA-256 of the pinned certificates. */
  readonly pinned: ReadonlySet<string>;
}

export class ClientCertificates {
  readonly #mode: Mode;
  readonly #setting: FileSetting;
  readonly #path: string;
  readonly #logger: Logger;
  readonly #changed = new Set<() => void>();
  /** Open connections that showed a good certificate, and its SHA-256. */
  readonly #admitted = new Map<TLSSocket, string>();
  #known: Known;
  #refused = '';
  #poll: NodeJS.Timeout | null = null;
  #watcher: FSWatcher | null = null;

  /** @throws SettingsError when the file that the mode needs cannot be used */
  constructor(settings: ControlPlaneSettings, logger: Logger) {
    this.#mode = settings.HEADGATE_CLUSTER_MTLS;
    this.#logger = logger;
    this.#setting = this.#mode === 'pki' ? 'HEADGATE_CLUSTER_CA_CERT' : 'HEADGATE_CLUSTER_CERT';
    this.#path = settings[this.#setting] ?? '';
    if (this.#mode === 'off') {
      this.#known = { text: '', pinned: new Set() };
      return;
    }
    if (this.#path === '') {
      const allowed = `HEADGATE_CLUSTER_MTLS=${this.#mode} needs a PEM file`;
      throw new SettingsError([{ name: this.#setting, value: null, allowed }]);
    }
    try {
      this.#known = this.#read();
    } catch (error) {
      const allowed = `a PEM file with certificates (${messageOf(error)})`;
      throw new SettingsError([{ name: this.#setting, value: this.#path, allowed }]);
    }
    this.#follow();
  }

  get isAsked(): boolean {
    return this.#mode !== 'off';
  }

  /** For the TLS server; `pki` needs the authorities in its context. */
  get tlsOptions(): {
    readonly requestCert?: boolean;
    readonly rejectUnauthorized?: boolean;
    readonly ca?: string;
  } {
    if (this.#mode === 'off') return {};
    // Refused later, with words, and by path: the Admin API may share the port.
    const asking = { requestCert: true, rejectUnauthorized: false };
    return this.#mode === 'pki' ? { ...asking, ca: this.#known.text } : asking;
  }

  /** Calls `fn` when `tlsOptions` are others. */
  onChange(fn: () => void): void {
    this.#changed.add(fn);
  }

  /** Why this peer may not go on; null when it may. */
  fault(request: IncomingMessage): string | null {
    if (this.#mode === 'off') return null;
    const { socket } = request;
    if (!(socket instanceof TLSSocket)) return 'a client certificate is asked for, over TLS';
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return 'no client certificate was shown';
    const { fingerprint256: fingerprint } = certificate;
    if (this.#mode === 'shared') {
      return this.#known.pinned.has(fingerprint)
        ? this.#admit(socket, fingerprint)
        : 'the client certificate is not one of HEADGATE_CLUSTER_CERT';
    }
    if (socket.authorized) return this.#admit(socket, fingerprint);
    return `the client certificate is not of HEADGATE_CLUSTER_CA_CERT (${String(socket.authorizationError)})`;
  }

  close(): void {
    if (this.#poll !== null) clearInterval(this.#poll);
    this.#watcher?.close();
    this.#changed.clear();
  }

  #admit(socket: TLSSocket, fingerprint: string): null {
    if (!this.#admitted.has(socket)) {
      this.#admitted.set(socket, fingerprint);
      socket.once('close', () => this.#admitted.delete(socket));
    }
    return null;
  }

  /** What an authority signed was looked at when it was shown, so all have to show theirs again. */
  #endOthers({ pinned: before }: Known): void {
    const { pinned } = this.#known;
    const isAuthorityGone = this.#mode === 'pki' && [...before].some((known) => !pinned.has(known));
    for (const [socket, fingerprint] of this.#admitted) {
      if (isAuthorityGone || (this.#mode === 'shared' && !pinned.has(fingerprint)))
        socket.destroy();
    }
  }

  #follow(): void {
    this.#poll = setInterval(() => this.#look(), POLL_MS);
    this.#poll.unref();
    try {
      this.#watcher = watch(dirname(this.#path), { persistent: false }, () => this.#look());
      this.#watcher.on('error', () => {});
    } catch {
      // Polled only.
    }
  }

  #look(): void {
    try {
      const known = this.#read();
      this.#refused = '';
      if (known.text === this.#known.text) return;
      const before = this.#known;
      this.#known = known;
      for (const fn of this.#changed) fn();
      this.#endOthers(before);
      this.#logger.log('info', 'certificates of data planes replaced', { file: this.#path });
    } catch (error) {
      const reason = messageOf(error);
      if (reason === this.#refused) return;
      this.#refused = reason;
      const fields = { file: this.#path, reason };
      this.#logger.log('error', 'new certificates of data planes refused, the old stay', fields);
    }
  }

  #read(): Known {
    if (statSync(this.#path).size > FILE_BYTES_MAX) throw new Error('too large for a PEM file');
    const text = readFileSync(this.#path, 'utf8');
    const found = text.match(PEM) ?? [];
    if (found.length === 0) throw new Error('there is no certificate in it');
    if (found.length > CERTIFICATES_MAX) throw new Error(`more than ${CERTIFICATES_MAX} of them`);
    const pinned = new Set(found.map((pem) => new X509Certificate(pem).fingerprint256));
    return { text, pinned };
  }
}

/** When the certificate that the peer showed expires, epoch seconds; null when it showed none. */
export function certificateExpiry(request: IncomingMessage): number | null {
  const { socket } = request;
  if (!(socket instanceof TLSSocket)) return null;
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? null : Math.floor(certificate.validToDate.getTime() / 1000);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
