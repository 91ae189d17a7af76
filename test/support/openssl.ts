/** Whether the Debian package openssl is there, for tests that make certificates. */
import { spawnSync } from 'node:child_process';

/** False with a line that says what to install; in CI a missing tool is a failure, not a skip. */
export function hasOpenssl(): boolean {
  if (spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0) return true;
  const missing = 'SKIPPED: no openssl found; install the Debian package openssl';
  if (process.env['CI'] !== undefined) throw new Error(missing);
  console.warn(missing);
  return false;
}
