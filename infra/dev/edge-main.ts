/** The edge data plane of `npm start`: the Worker in workerd, as a process of its own. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadSettings } from '#shared/platform/node/env.ts';
import { runProgram } from '#shared/platform/node/program.ts';
import { DEV_SETTINGS } from '#shared/settings/dev.ts';
import { EDGE_SETTINGS } from '#shared/settings/edge.ts';
import { parseListens } from '#shared/settings/listen.ts';
import { startEdge } from './edge.ts';

await runProgram(async () => {
  const settings = loadSettings(DEV_SETTINGS, process.env);
  const [listen] = parseListens(settings.HEADGATE_EDGE_LISTEN);
  const edge = await startEdge({
    host: listen?.host ?? '127.0.0.1',
    port: listen?.port ?? 8787,
    persistDir: join(resolve(settings.HEADGATE_DATA_DIR), 'edge'),
    bindings: {
      // Who tries a change out wants to see it with the next request, at the price of asking the hub.
      HEADGATE_MAX_ISOLATE_AGE_SECONDS: '1',
      ...givenSettings(process.env),
      HEADGATE_DEPLOYMENT: 'dev',
    },
  });
  return { addresses: { edge: [edge.url] }, close: () => edge.close() };
});

/** What is set for both data planes holds here too, as the variables of a deployment would. */
function givenSettings(env: NodeJS.ProcessEnv): Record<string, string> {
  const given: Record<string, string> = {};
  for (const name of Object.keys(EDGE_SETTINGS)) {
    const [text, file] = [env[name], env[`${name}_FILE`]];
    if (text !== undefined) given[name] = text;
    else if (file !== undefined) given[name] = readFileSync(file, 'utf8').trim();
  }
  return given;
}
