/**
 * Neon by its serverless driver: the Postgres protocol over a WebSocket (Node's own global one), so
 * that it passes where only port 443 does. Interactive transactions and LISTEN work as over TCP.
 */
import { Client, Pool } from '@neondatabase/serverless';
import type { Db } from '../db.ts';
import { Listener, type MakeClient } from './listener.ts';
import type { ServerOptions } from './pg.ts';
import { CONNECT_TIMEOUT_MS, PoolDb, POOL_SIZE_MAX } from './pool.ts';
import { typeParsers } from './types.ts';

export function openNeon(options: ServerOptions): Db {
  const config = {
    connectionString: options.url,
    application_name: 'headgate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    types: typeParsers,
  };
  const pool = new Pool({ ...config, max: POOL_SIZE_MAX });
  pool.on('error', (error: Error) => {
    options.logger.log('warn', 'idle database connection lost', { error: error.message });
  });
  pool.on('connect', (client: Client) => client.on('error', () => {}));
  const makeClient: MakeClient = (events) => {
    const client = new Client(config);
    client.on('notification', ({ channel, payload }) =>
      events.notification(channel, payload ?? ''),
    );
    client.on('error', () => events.lost());
    client.on('end', () => events.lost());
    return client;
  };
  const isQuiet = options.isPooled || options.listens === false;
  const listener = isQuiet ? null : new Listener(makeClient, options.logger);
  return new PoolDb({ driver: 'neon', pool, listener });
}
