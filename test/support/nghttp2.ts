/** The Debian package nghttp2-client: h2load and nghttp, HTTP/2 clients that are not Node's. */
import { spawn, spawnSync } from 'node:child_process';

/** False with a line that says what to install; in CI a missing tool is a failure, not a skip. */
export function hasNghttp2(): boolean {
  const isThere = (tool: string): boolean =>
    spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
  if (isThere('h2load') && isThere('nghttp')) return true;
  const missing = 'SKIPPED: no h2load found; install the Debian package nghttp2-client';
  if (process.env['CI'] !== undefined) throw new Error(missing);
  console.warn(missing);
  return false;
}

/** What a tool says, when it ends well. @throws with all of it otherwise */
export function runTool(tool: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${tool} ended with ${code}:\n${output}`));
    });
  });
}
