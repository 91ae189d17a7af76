/**
 * A listener's certificate that follows its files: a changed pair is taken over while running, a broken
 * one is named and the old one stays. Connections that are open keep what they were opened with.
 */
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Logger } from '../../platform.ts';
import { lifetimeLeft, type PairSource } from './pair-source.ts';
import type { PemPair } from './self-signed.ts';

/** As much of a TLS server as is needed. */
export interface TlsServer {
  setSecureContext(options: PemPair & typeof TLS_OPTIONS): void;
}

export interface LiveCertificateOptions {
  readonly source: PairSource;
  readonly logger: Logger;
  /** How often the files are looked at, whatever the system says of them. */
  readonly pollMs?: number;
  /** Whether the system is asked to tell of changes; network file systems do not. */
  readonly isWatching?: boolean;
}

export const TLS_OPTIONS = { minVersion: 'TLSv1.2' } as const;
const POLL_MS = 10_000;
/** Certificate and key are replaced one after the other. */
const SETTLE_MS = 200;

export class LiveCertificate {
  readonly #options: LiveCertificateOptions;
  readonly #servers = new Set<TlsServer>();
  readonly #watchers: FSWatcher[] = [];
  #pair: PemPair;
  /** Text of what was refused, so that it is named once. */
  #refused: string | null = null;
  #poll: NodeJS.Timeout | null = null;
  #look: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();

  private constructor(options: LiveCertificateOptions, pair: PemPair) {
    this.#options = options;
    this.#pair = pair;
  }

  /** @throws when there is no usable pair to begin with */
  static async open(options: LiveCertificateOptions): Promise<LiveCertificate> {
    const pair = await options.source.load();
    createSecureContext({ ...pair, ...TLS_OPTIONS });
    const live = new LiveCertificate(options, pair);
    live.#start();
    return live;
  }

  get pair(): PemPair {
    return this.#pair;
  }

  /** From now on the server has the newest pair. */
  serve(server: TlsServer): void {
    this.#servers.add(server);
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.close();
    if (this.#poll !== null) clearInterval(this.#poll);
    if (this.#look !== null) clearTimeout(this.#look);
    this.#servers.clear();
    await this.#looking;
  }

  #start(): void {
    const { source, pollMs = POLL_MS, isWatching = true } = this.#options;
    this.#poll = setInterval(() => this.#lookSoon(), pollMs);
    this.#poll.unref();
    if (!isWatching) return;
    // Folders: a file that is replaced by renaming is another file, and Kubernetes swaps a link.
    for (const folder of new Set(source.paths.map((path) => dirname(path)))) this.#watch(folder);
  }

  #watch(folder: string): void {
    const { logger } = this.#options;
    const unwatched = (error: unknown): void => {
      const reason = error instanceof Error ? error.message : String(error);
      logger.log('info', 'certificate files are polled only', { folder, reason });
    };
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#lookSoon());
      watcher.on('error', unwatched);
      this.#watchers.push(watcher);
    } catch (error) {
      unwatched(error);
    }
  }

  /** Not put off by what happens in between: a busy folder would put it off for ever. */
  #lookSoon(): void {
    if (this.#look !== null) return;
    this.#look = setTimeout(() => {
      this.#look = null;
      this.#looking = this.#looking.then(() => this.#lookNow());
    }, SETTLE_MS);
    this.#look.unref();
  }

  async #lookNow(): Promise<void> {
    const { source } = this.#options;
    let pair: PemPair;
    try {
      pair = await source.load();
    } catch (error) {
      return this.#refuse('', error);
    }
    const text = `${pair.cert}${pair.key}`;
    if (text === `${this.#pair.cert}${this.#pair.key}`) {
      this.#refused = null;
      return;
    }
    try {
      createSecureContext({ ...pair, ...TLS_OPTIONS });
      if (lifetimeLeft(pair.cert, Date.now()) === 0) throw new Error('it has expired');
    } catch (error) {
      return this.#refuse(text, error);
    }
    this.#refused = null;
    this.#pair = pair;
    for (const server of this.#servers) server.setSecureContext({ ...pair, ...TLS_OPTIONS });
    this.#options.logger.log('info', 'certificate replaced', { files: [...source.paths] });
  }

  /** At a second look only: one may have come between the two files. */
  #refuse(text: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const refused = `${reason}\n${text}`;
    if (this.#refused === refused) return;
    if (this.#refused !== `again ${refused}`) {
      this.#refused = `again ${refused}`;
      this.#lookSoon();
      return;
    }
    this.#refused = refused;
    const files = [...this.#options.source.paths];
    this.#options.logger.log('error', 'new certificate refused, the old one stays', {
      files,
      reason,
    });
  }
}
