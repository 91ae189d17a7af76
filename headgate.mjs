#!/usr/bin/env node
// The `headgate` command. Plain JavaScript that old releases of Node can read, so that they can be
// told what is missing.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 14)) {
  console.error(
    `headgate needs Node 24.14 or newer, and this is Node ${process.versions.node}.\n` +
      'Inside this repository `npm ci` installs the right one, and `npm start` uses it. If you did run\n' +
      'npm ci, its install scripts were switched off: run it again without --ignore-scripts\n' +
      '(check `npm config get ignore-scripts`).',
  );
  process.exit(1);
}

const PROGRAMS = {
  cp: './cp/main.ts',
  dp: './node-dp/main.ts',
  dev: './infra/dev/main.ts',
};

/** Commands with arguments of their own. */
const TOOLS = {
  import: './cp/transfer/import-main.ts',
  export: './cp/transfer/export-main.ts',
  init: './cp/keys/init-main.ts',
  keys: './cp/keys/keys-main.ts',
};

const USAGE = `usage: headgate <command>

  cp      the control plane: Admin API on 8001, cluster endpoint on 8005
  dp      a Node data plane: traffic on 8000, status on 8007
  dev     one of everything on this machine, joined (needs the development dependencies)
  import  takes over the configuration of a Kong: a file, or its Admin API
  export  writes the configuration to a file that decK reads
  init    makes a cluster by a root key that control planes never see
  keys    makes such a key, and signs lists of signing keys with it

Settings are environment variables; README.md lists them. The last four have arguments, which --help
tells of.`;

const [command, ...rest] = process.argv.slice(2);
if (command === '--help' || command === '-h' || command === 'help') {
  console.log(USAGE);
} else if (Object.hasOwn(TOOLS, command ?? '')) {
  await import(new URL(TOOLS[command], import.meta.url).href);
} else if (!Object.hasOwn(PROGRAMS, command ?? '') || rest.length > 0) {
  console.error(USAGE);
  process.exit(1);
} else {
  await import(new URL(PROGRAMS[command], import.meta.url).href);
}
