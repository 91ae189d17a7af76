/** Any PostgreSQL, over TCP or TLS, by node-postgres. */
import { Client as PgClient, Pool as PgPool } from 'pg';
import type { Logger } from '#shared/platform/platform.ts';
import type { Db } from '../db.ts';
import { Listener, type MakeClient } from './listener.ts';
import { CONNECT_TIMEOUT_MS, PoolDb, POOL_SIZE_MAX } from './pool.ts';
import { typeParsers } from './types.ts';

export interface ServerOptions {
  readonly url: string;
  /** Behind a transaction pooler LISTEN is silently lost, so it is not tried. */
  readonly isPooled: boolean;
  /** False: a connection that listens would keep a database awake that may sleep. */
  readonly listens?: boolean;
  readonly logger: Logger;
}

export function openPg(options: ServerOptions): Db {
  const config = {
    connectionString: options.url,
    application_name: 'headgate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    types: typeParsers,
  };
  const pool = new PgPool({ ...config, max: POOL_SIZE_MAX });
  // Without these, a connection that breaks while idle or between two statements ends the process.
  pool.on('error', (error) => {
    options.logger.log('warn', 'idle database connection lost', { error: error.message });
  });
  pool.on('connect', (client: PgClient) => client.on('error', () => {}));
  const makeClient: MakeClient = (events) => {
    const client = new PgClient(config);
    client.on('notification', ({ channel, payload }) =>
      events.notification(channel, payload ?? ''),
    );
    client.on('error', () => events.lost());
    client.on('end', () => events.lost());
    return client;
  };
  const isQuiet = options.isPooled || options.listens === false;
  const listener = isQuiet ? null : new Listener(makeClient, options.logger);
  return new PoolDb({ driver: 'postgres', pool, listener });
}
