import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { CONTROL_PLANE_SETTINGS } from '#shared/settings/control-plane.ts';
import { DATA_PLANE_SETTINGS } from '#shared/settings/data-plane.ts';
import { ALL_SETTING_NAMES } from '#shared/settings/names.ts';
import { parseSettings } from '#shared/settings/settings.ts';
import { hasOpenssl } from '../test/support/openssl.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

interface Compose {
  readonly services: Record<
    string,
    {
      readonly build?: { readonly context: string; readonly dockerfile: string };
      readonly environment?: Record<string, string>;
      readonly secrets?: readonly string[];
      readonly depends_on?: unknown;
    }
  >;
  readonly secrets: Record<string, unknown>;
}

/** What the secret files of the compose set-up look like. */
const EXAMPLES: Readonly<Record<string, string>> = {
  '/run/secrets/database_url': 'postgres://headgate:secret@postgres/headgate',
  '/run/secrets/kek': 'c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=',
  '/run/secrets/admin_token': '0123456789abcdef0123456789abcdef',
  '/run/secrets/join_token': `hgj_${'0'.repeat(36)}_${'a'.repeat(43)}_${'b'.repeat(43)}`,
};

const compose = parse(read('infra/docker/compose.yaml')) as Compose;

describe('the container files', () => {
  it.each(['cp', 'node-dp'])('copy only what exists, and run %s without root', (name) => {
    const file = read(`infra/docker/${name}.Dockerfile`);
    const copied = [...file.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' '),
    );
    expect(copied.length).toBeGreaterThan(3);
    for (const path of copied) expect(existsSync(join(ROOT, path)), path).toBe(true);
    expect(file).toMatch(/^USER node$/m);
    expect(file).toContain('npm ci --omit=dev');
    const allowed = read('.dockerignore');
    for (const path of copied) expect(allowed).toContain(`!${path.replace(/^\.\//, '')}`);
  });

  it('set only settings that exist, to values that are allowed', () => {
    const programs = {
      'control-plane': CONTROL_PLANE_SETTINGS,
      'data-plane': DATA_PLANE_SETTINGS,
    };
    for (const [name, definitions] of Object.entries(programs)) {
      const env = compose.services[name]?.environment ?? {};
      const readFile = (path: string): string => EXAMPLES[path] ?? '';
      const result = parseSettings(definitions, { env, readFile }, ALL_SETTING_NAMES);
      expect(result, name).toMatchObject({ ok: true });
    }
  });

  it('refer only to secrets and files that the compose file knows', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      for (const secret of service.secrets ?? []) {
        expect(Object.keys(compose.secrets), name).toContain(secret);
      }
      for (const value of Object.values(service.environment ?? {})) {
        const secret = /^\/run\/secrets\/(\w+)$/.exec(value)?.[1];
        if (secret !== undefined) expect(service.secrets).toContain(secret);
      }
      if (service.build) {
        expect(
          existsSync(join(ROOT, 'infra/docker', service.build.context, service.build.dockerfile)),
        ).toBe(true);
      }
    }
  });
});

describe.skipIf(!hasOpenssl())('the development certificates', () => {
  it('are signed by their own CA, for the names asked for, and private', () => {
    const folder = mkdtempSync(join(tmpdir(), 'headgate-certs-'));
    try {
      const script = join(ROOT, 'infra/certs/make-dev-certs.sh');
      execFileSync(script, [folder, 'control-plane', '127.0.0.1']);
      const ca = new X509Certificate(readFileSync(join(folder, 'ca.crt')));
      const server = new X509Certificate(readFileSync(join(folder, 'server.crt')));
      expect(server.checkIssued(ca)).toBe(true);
      expect(server.verify(ca.publicKey)).toBe(true);
      expect(server.checkHost('control-plane')).toBe('control-plane');
      expect(server.checkIP('127.0.0.1')).toBe('127.0.0.1');
      expect(statSync(join(folder, 'server.key')).mode & 0o077).toBe(0);
      expect(() => execFileSync(script, [folder, 'x'], { stdio: 'pipe' })).toThrow(/there already/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
