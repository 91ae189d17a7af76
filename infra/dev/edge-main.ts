/** The edge data plane of `npm start`: the Worker in workerd, as a process of its own. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DEV_SETTINGS } from '#shared/settings/dev.ts';
import { parseListens } from '#shared/settings/listen.ts';
import { loadSettings } from '#shared/platform/node/env.ts';
import { startEdge } from './edge.ts';

const settings = loadSettings(DEV_SETTINGS, process.env);
const [listen] = parseListens(settings.HEADGATE_EDGE_LISTEN);
const tokenFile = process.env['HEADGATE_JOIN_TOKEN_FILE'];
const edge = await startEdge({
  host: listen?.host ?? '127.0.0.1',
  port: listen?.port ?? 8787,
  persistDir: join(resolve(settings.HEADGATE_DATA_DIR), 'edge'),
  bindings: {
    HEADGATE_DEPLOYMENT: 'dev',
    HEADGATE_CONTROL_PLANES: process.env['HEADGATE_CONTROL_PLANES'] ?? '',
    ...(tokenFile === undefined ? {} : { HEADGATE_JOIN_TOKEN: readFileSync(tokenFile, 'utf8') }),
  },
});
const stop = (): void => void edge.close().then(() => process.exit(0));
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
process.on('disconnect', stop);
process.send?.({ type: 'ready', addresses: { edge: [edge.url] } });
