/** Chooses the driver by the settings. */
import { join } from 'node:path';
import type { Logger } from '#shared/platform/platform.ts';
import type { Db, DriverName } from './db.ts';
import { openNeon } from './drivers/neon.ts';
import { openPg } from './drivers/pg.ts';
import { openPglite } from './drivers/pglite.ts';

export interface DatabaseSettings {
  /** `HEADGATE_DATABASE_URL`; null: embedded PGlite under the data directory. */
  readonly url: string | null;
  /** `HEADGATE_DATABASE_DRIVER`; null: by the address. */
  readonly driver: DriverName | null;
  /** `HEADGATE_DATA_DIR` */
  readonly dataDir: string;
  /** It is to be left alone when there is nothing to do: a connection that listens would keep it awake. */
  readonly isSleepy?: boolean;
}

/** A setting that cannot be; the message names it and what is allowed, and never shows the address. */
export class DatabaseSettingsError extends Error {
  override readonly name = 'DatabaseSettingsError';
}

export function chooseDriver(settings: DatabaseSettings): DriverName {
  if (settings.url === null) {
    if (settings.driver !== null && settings.driver !== 'pglite') {
      throw new DatabaseSettingsError(
        `HEADGATE_DATABASE_DRIVER=${settings.driver} needs HEADGATE_DATABASE_URL=postgres://…`,
      );
    }
    return 'pglite';
  }
  const url = parseUrl(settings.url);
  if (settings.driver === 'pglite') {
    throw new DatabaseSettingsError(
      'HEADGATE_DATABASE_DRIVER=pglite does not go with HEADGATE_DATABASE_URL: unset one of them',
    );
  }
  if (settings.driver !== null) return settings.driver;
  return url.hostname.endsWith('.neon.tech') ? 'neon' : 'postgres';
}

/** Neon's pooled addresses are PgBouncer in transaction mode, named by a suffix of the first label. */
export function isPooledHost(hostname: string): boolean {
  return hostname.split('.', 1)[0]?.endsWith('-pooler') ?? false;
}

/** @throws DatabaseSettingsError; Error when an embedded folder is in use by another process */
export async function openDatabase(settings: DatabaseSettings, logger: Logger): Promise<Db> {
  const driver = chooseDriver(settings);
  if (driver === 'pglite' || settings.url === null) {
    return openPglite(join(settings.dataDir, 'cp', 'pglite'), logger);
  }
  const { hostname } = parseUrl(settings.url);
  const isPooled = isPooledHost(hostname);
  if (isPooled) {
    logger.log('warn', 'pooled database address: no notifications, changes are found by polling', {
      host: hostname,
    });
  }
  logger.log('info', 'database', { driver, host: hostname });
  const open = driver === 'neon' ? openNeon : openPg;
  const listens = settings.isSleepy !== true;
  return open({ url: settings.url, isPooled, listens, logger });
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  const isPostgres = url !== null && /^postgres(ql)?:$/.test(url.protocol);
  // Without a host it is a socket in the file system: postgres:///database?host=/run/postgresql
  if (!isPostgres || (url.hostname === '' && !url.searchParams.has('host'))) {
    throw new DatabaseSettingsError(
      'HEADGATE_DATABASE_URL must be of the form postgres://user:password@host:port/database',
    );
  }
  return url;
}
