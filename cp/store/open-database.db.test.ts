import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseDriver, isPooledHost, openDatabase } from './open-database.ts';

const NEON = 'postgres://u:secret@ep-cool-1.eu-central-1.aws.neon.tech/db';
const POOLED = 'postgres://u:secret@ep-cool-1-pooler.eu-central-1.aws.neon.tech/db';

describe('the choice of a driver', () => {
  const chosen = (url: string | null, driver: 'pglite' | 'postgres' | 'neon' | null = null) =>
    chooseDriver({ url, driver, dataDir: '/nowhere' });

  it('goes by the address, and by the setting where there is one', () => {
    expect(chosen(null)).toBe('pglite');
    expect(chosen('postgres://u@db.example.com/x')).toBe('postgres');
    expect(chosen('postgresql://u@db.example.com/x')).toBe('postgres');
    expect(chosen('postgres:///x?host=/run/postgresql')).toBe('postgres');
    expect(chosen(NEON)).toBe('neon');
    expect(chosen(POOLED)).toBe('neon');
    expect(chosen('postgres://u@neon.tech.example.com/x')).toBe('postgres');
    expect(chosen(NEON, 'postgres')).toBe('postgres');
    expect(chosen('postgres://u@127.0.0.1/x', 'neon')).toBe('neon');
  });

  it('refuses settings that contradict each other, without showing the address', () => {
    expect(() => chosen(null, 'neon')).toThrow('HEADGATE_DATABASE_DRIVER=neon needs');
    expect(() => chosen(NEON, 'pglite')).toThrow('HEADGATE_DATABASE_DRIVER=pglite does not go');
    const wrong = (): unknown => chosen('mysql://u:secret@h/x');
    expect(wrong).toThrow('HEADGATE_DATABASE_URL must be of the form');
    expect(wrong).not.toThrow('secret');
  });

  it('knows a transaction pooler by its name', () => {
    expect(isPooledHost('ep-cool-1-pooler.eu-central-1.aws.neon.tech')).toBe(true);
    expect(isPooledHost('ep-cool-1.eu-central-1.aws.neon.tech')).toBe(false);
    expect(isPooledHost('my-pooler-host.example.com')).toBe(false);
  });

  it.each(['postgres', 'neon'] as const)(
    'does not listen through a pooler (%s)',
    async (driver) => {
      const lines: string[] = [];
      const logger = { log: (_level: string, message: string) => void lines.push(message) };
      const db = await openDatabase({ url: POOLED, driver, dataDir: '/nowhere' }, logger);

      expect(db.canListen).toBe(false);
      const stop = await db.listen('headgate_changes', () => {});
      await stop();
      await db.close();
      expect(lines[0]).toContain('no notifications');
      expect(lines.join()).not.toContain('secret');
    },
  );
});

describe('the embedded database', () => {
  let dataDir = '';
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'headgate-embedded-'));
  });
  afterEach(() => rm(dataDir, { recursive: true }));

  it('says what it is, locks its folder, and keeps its content', async () => {
    const lines: string[] = [];
    const logger = {
      log: (level: string, message: string) => void lines.push(`${level} ${message}`),
    };
    const settings = { url: null, driver: null, dataDir };
    const db = await openDatabase(settings, logger);
    await db.query('CREATE TABLE kept (id int)');

    await expect(openDatabase(settings, logger)).rejects.toThrow(
      `held by the running process ${process.pid}`,
    );
    await db.close();
    const again = await openDatabase(settings, logger);
    const { rows } = await again.query("SELECT to_regclass('kept')::text AS name");
    await again.close();

    expect(rows).toEqual([{ name: 'kept' }]);
    expect(lines[0]).toBe('warn embedded database: for development, one process only');
    expect((await stat(join(dataDir, 'cp'))).mode & 0o777).toBe(0o700);
  });
});
