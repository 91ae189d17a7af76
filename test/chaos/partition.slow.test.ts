/** Connections whose other end has gone without a word: both ends notice, and let go of them. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { SILENCE_MAX_MS } from '#shared/wire/protocol.ts';
import type { PartitionResult } from './partition-main.ts';

const PROGRAM = fileURLToPath(new URL('./partition-main.ts', import.meta.url));
/** How late a tick, a poll of this test and a busy machine may be. */
const LATE_MS_MAX = 4_000;
/** A handshake that nobody answers takes ten seconds to be given up, and the next try up to five. */
const HEALED_MS_MAX = 20_000;

/** A network of its own, with an administrator of its own where we are none. */
const NAMESPACE = process.getuid?.() === 0 ? ['-n'] : ['-r', '-n'];

/** What keeps us from it; null: nothing. In CI that is a failure, not a skip. */
function missing(): string | null {
  let reason: string | null = null;
  if (!existsSync('/usr/sbin/nft')) reason = 'no firewall: install the Debian package nftables';
  try {
    execFileSync('unshare', [...NAMESPACE, '/usr/sbin/nft', 'list', 'ruleset'], { stdio: 'pipe' });
  } catch (error) {
    reason ??= `no network namespaces here: ${String(error)}`;
  }
  if (reason !== null && process.env['CI'] !== undefined) throw new Error(reason);
  return reason;
}

const reason = missing();

describe.skipIf(reason !== null)(
  `partitions${reason === null ? '' : ` (SKIPPED: ${reason})`}`,
  () => {
    it('one way or both are noticed by both ends, which let go, serve on, and come back', async () => {
      const { stdout } = await promisify(execFile)(
        'unshare',
        [...NAMESPACE, process.execPath, PROGRAM],
        { env: process.env },
      );
      // What the program prints, and nothing else.
      const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as PartitionResult;
      console.log(stdout.trim());
      for (const [partition, { node, cp }] of Object.entries(result.noticedMs)) {
        expect(node, partition).toBeLessThan(SILENCE_MAX_MS + LATE_MS_MAX);
        expect(cp, partition).toBeLessThan(SILENCE_MAX_MS + LATE_MS_MAX);
      }
      // And a moment for a closing handshake that nobody answers.
      expect(result.freedMs).toBeLessThan(SILENCE_MAX_MS + LATE_MS_MAX + 3_000);
      expect(result.healedMs).toBeLessThan(HEALED_MS_MAX);
      expect(result.failures).toBe(0);
      expect(result.requests).toBeGreaterThan(1_000);
    }, 180_000);
  },
);
