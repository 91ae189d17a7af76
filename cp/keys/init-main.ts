/** `headgate init` as a process: makes a cluster by a root key that no control plane ever has. */
import { parseArgs } from 'node:util';
import { resolve } from 'node:path';
import { loadSettings } from '#shared/platform/node/env.ts';
import { ensurePrivateDir } from '#shared/platform/node/files.ts';
import { registryFor } from '#shared/registry.ts';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { openStore } from '../store/open-store.ts';
import { runCommand } from '../transfer/command.ts';
import { UsageError } from '../transfer/options.ts';

const USAGE = `usage: headgate init --root-key FILE

Prepares the database that the settings name (HEADGATE_DATABASE_URL, HEADGATE_KEK …), and makes the
cluster's keys, vouched for by the root key in FILE (headgate keys root makes one). Control planes that
start after it never see that key. Without it the first one to start makes a root key of its own, in
its data folder.`;

await runCommand('init', USAGE, async (args, { env }) => {
  const { values } = parseArgs({
    args: [...args],
    options: { 'root-key': { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) return null;
  const rootKeyFile = values['root-key'];
  if (rootKeyFile === undefined) throw new UsageError('--root-key FILE is missing');
  const settings = loadSettings(CONTROL_PLANE_SETTINGS, env);
  const dataDir = resolve(settings.HEADGATE_DATA_DIR);
  await ensurePrivateDir(dataDir);
  const { store, keyring } = await openStore({
    database: {
      url: settings.HEADGATE_DATABASE_URL,
      driver: settings.HEADGATE_DATABASE_DRIVER,
      dataDir,
      isSleepy: false,
    },
    kek: settings.HEADGATE_KEK,
    rootKeyFile,
    registry: registryFor(settings.HEADGATE_ROUTER_FLAVOR),
    logger: { log: () => {} },
  });
  await store.close();
  return { output: `cluster ${keyring.clusterId}`, code: 0 };
});
