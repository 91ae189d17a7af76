import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, isTest, sourceFiles } from './tree.ts';

/**
 * Who may import whom. A folder's rule lists the top folders it may reach and the packages it may
 * use; everything else is refused.
 */
const RULES: Readonly<Record<string, { folders: readonly string[]; packages: readonly RegExp[] }>> =
  {
    shared: { folders: ['shared'], packages: [/^re2js$/] },
    'shared/platform/node': { folders: ['shared'], packages: [/^node:/, /^aws4fetch$/] },
    cp: {
      folders: ['cp', 'shared'],
      packages: [
        /^node:/,
        /^hono(\/|$)/,
        /^@hono\/node-server$/,
        /^pg$/,
        /^@electric-sql\/pglite/,
        /^@neondatabase\/serverless$/,
        /^ws$/,
        /^@fastify\/busboy$/,
        /^yaml$/,
      ],
    },
    'node-dp': {
      folders: ['node-dp', 'shared'],
      packages: [/^node:/, /^undici$/, /^ws$/, /^dns-packet$/],
    },
    'edge-dp': {
      folders: ['edge-dp', 'shared'],
      packages: [/^cloudflare:/, /^node:crypto$/, /^itty-router$/],
    },
    infra: {
      folders: ['infra', 'shared'],
      packages: [/^node:/, /^esbuild$/, /^miniflare$/],
    },
  };

/** Layers of `shared/`, low to high: a file imports from its own layer or a lower one. */
const LAYERS: readonly (readonly string[])[] = [
  ['base', 'regex', 'expression', 'platform', 'schema', 'http'],
  ['settings'],
  ['entities', 'plugins'],
  ['registry.ts'],
  ['wire', 'config'],
  ['router', 'balancer', 'health'],
  ['tables', 'proxy', 'sync'],
];

function ruleOf(file: string): string | null {
  if (file.startsWith('shared/platform/node/')) return 'shared/platform/node';
  const top = file.split('/')[0] ?? '';
  return Object.hasOwn(RULES, top) ? top : null;
}

/** Path from the root of what a specifier means; null for a package. */
function resolved(file: string, specifier: string): string | null {
  if (specifier.startsWith('#shared/')) return `shared/${specifier.slice('#shared/'.length)}`;
  if (specifier.startsWith('.')) return posix.join(posix.dirname(file), specifier);
  return null;
}

function complaint(file: string, specifier: string): string | null {
  const name = ruleOf(file);
  const rule = name === null ? undefined : RULES[name];
  if (rule === undefined) return null;
  const target = resolved(file, specifier);
  if (target === null) {
    return rule.packages.some((pattern) => pattern.test(specifier)) ? null : 'package';
  }
  if (!rule.folders.includes(target.split('/')[0] ?? '')) return 'folder';
  const isNodeOnly = target.startsWith('shared/platform/node/');
  if (isNodeOnly && !['cp', 'node-dp', 'infra', 'shared/platform/node'].includes(name ?? '')) {
    return 'a Node implementation';
  }
  const isHandler = /^shared\/plugins\/(handlers\.ts|[^/]+\/handler\.ts)$/.test(target);
  return isHandler && name === 'cp' ? 'a plugin handler' : null;
}

function layerOf(path: string): number | null {
  if (path.startsWith('shared/platform/node/')) return null;
  const folder = path.slice('shared/'.length).split('/')[0] ?? '';
  // Handlers run on the request path: they belong to its layer, not to their definitions'.
  if (/^shared\/plugins\/(handlers\.ts|[^/]+\/handler\.ts)$/.test(path)) return LAYERS.length - 1;
  const layer = LAYERS.findIndex((folders) => folders.includes(folder));
  return layer < 0 ? null : layer;
}

/** Ports and contracts that speak of higher things by type only. */
const TYPE_CONTRACTS = new Set(['shared/platform/platform.ts', 'shared/plugins/plugin.ts']);

describe('imports', () => {
  const files = sourceFiles().filter((file) => !isTest(file));

  it('stay within the borders of their folder', () => {
    const broken = files.flatMap((file) =>
      importsOf(file).flatMap((specifier) => {
        const why = complaint(file, specifier);
        return why === null ? [] : [`${file} imports ${specifier} (${why})`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it('go downward by layer in shared/', () => {
    const broken = files
      .filter((file) => file.startsWith('shared/') && !TYPE_CONTRACTS.has(file))
      .flatMap((file) => {
        const from = layerOf(file);
        return importsOf(file).flatMap((specifier) => {
          const target = resolved(file, specifier);
          if (target === null || from === null || !target.startsWith('shared/')) return [];
          const to = layerOf(target);
          return to !== null && to > from ? [`${file} imports ${specifier}`] : [];
        });
      });
    expect(broken).toEqual([]);
  });

  it('never reach into test/', () => {
    const broken = files.filter((file) =>
      importsOf(file).some((specifier) => resolved(file, specifier)?.startsWith('test/')),
    );
    expect(broken).toEqual([]);
  });

  it('are complained about when they cross a border', () => {
    expect(complaint('shared/router/router.ts', 'node:fs')).toBe('package');
    expect(complaint('shared/router/router.ts', '../platform/node/files.ts')).toMatch(/Node/);
    expect(complaint('cp/admin/app.ts', '../../node-dp/main.ts')).toBe('folder');
    expect(complaint('cp/main.ts', '#shared/plugins/key-auth/handler.ts')).toMatch(/handler/);
    expect(complaint('node-dp/main.ts', 'pg')).toBe('package');
    expect(complaint('edge-dp/worker.ts', 'node:fs')).toBe('package');
    expect(complaint('edge-dp/worker.ts', '#shared/platform/node/files.ts')).toMatch(/Node/);
  });
});
