/** The edge data plane of `npm start`: the Worker in workerd, as a process of its own. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadSettings } from '#shared/platform/node/env.ts';
import { runProgram } from '#shared/platform/node/program.ts';
import { DEV_SETTINGS } from '#shared/settings/dev.ts';
import { parseListens } from '#shared/settings/listen.ts';
import { startEdge } from './edge.ts';

await runProgram(async () => {
  const settings = loadSettings(DEV_SETTINGS, process.env);
  const [listen] = parseListens(settings.HEADGATE_EDGE_LISTEN);
  const tokenFile = process.env['HEADGATE_JOIN_TOKEN_FILE'];
  const edge = await startEdge({
    host: listen?.host ?? '127.0.0.1',
    port: listen?.port ?? 8787,
    persistDir: join(resolve(settings.HEADGATE_DATA_DIR), 'edge'),
    bindings: {
      HEADGATE_DEPLOYMENT: 'dev',
      // Who tries a change out wants to see it with the next request, at the price of asking the hub.
      HEADGATE_MAX_ISOLATE_AGE_SECONDS: '1',
      HEADGATE_CONTROL_PLANES: process.env['HEADGATE_CONTROL_PLANES'] ?? '',
      ...(tokenFile === undefined ? {} : { HEADGATE_JOIN_TOKEN: readFileSync(tokenFile, 'utf8') }),
    },
  });
  return { addresses: { edge: [edge.url] }, close: () => edge.close() };
});
